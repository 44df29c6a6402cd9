# SPDX-License-Identifier: Apache-2.0
"""How the API writes times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from common.clock import iso_microseconds, iso_seconds

_EAST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("moment", "seconds", "microseconds"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
         "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000006"),
        (datetime(2026, 1, 2, 3, 4, 5, 0, UTC),
         "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000"),
        (datetime(2026, 1, 2, 3, 4, 5, 120000, _EAST),
         "2026-01-01T21:34:05Z", "2026-01-01T21:34:05.120000"),
        (datetime(1, 1, 1, 0, 0, 0, 999999, UTC),
         "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.999999"),
    ],
)  # fmt: skip
def test_times_are_of_utc_in_a_form_of_fixed_length(moment, seconds, microseconds):
    assert iso_seconds(moment) == seconds
    assert iso_microseconds(moment) == microseconds

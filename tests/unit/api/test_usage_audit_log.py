# SPDX-License-Identifier: Apache-2.0
"""Which month an audit log is about."""

from datetime import UTC, datetime

import pytest

from services.api.resources.usage_audit_log import month_before


@pytest.mark.parametrize(
    ("moment", "begin", "end"),
    [
        ("2026-03-15T12:00:00", "2026-02-01", "2026-03-01"),
        ("2026-01-01T00:00:01", "2025-12-01", "2026-01-01"),
        ("2026-01-01T00:00:00", "2025-11-01", "2025-12-01"),
        ("2024-03-31T23:59:59", "2024-02-01", "2024-03-01"),
    ],
)
def test_the_month_was_over_before_the_moment(moment, begin, end):
    found = month_before(datetime.fromisoformat(moment).replace(tzinfo=UTC))

    assert [each.date().isoformat() for each in found] == [begin, end]


@pytest.mark.parametrize(
    "before", ["yesterday", "2026-13-01 00:00:00", "2026-01-01", "0001-01-05 00:00:00", "%00"]
)
def test_what_is_no_moment_is_refused(ask, before):
    answer = ask("GET", f"/v2.1/os-instance_usage_audit_log/{before}")

    assert answer.status_code == 400
    assert "Invalid timestamp" in answer.json["badRequest"]["message"]

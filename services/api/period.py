# SPDX-License-Identifier: Apache-2.0
"""`changes-since` and `changes-before`, wherever a list takes both."""

from oslo_utils import timeutils

from common.errors import Invalid


def check_period(since: str | None, before: str | None) -> None:
    """Refuse a period that ends before it begins. Raises: Invalid."""
    if not (since and before):
        return
    if timeutils.normalize_time(timeutils.parse_isotime(since)) > timeutils.normalize_time(
        timeutils.parse_isotime(before)
    ):
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")

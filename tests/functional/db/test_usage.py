# SPDX-License-Identifier: Apache-2.0
"""How many servers ran on which host in a period, and at what cost it is counted."""

from datetime import timedelta

import pytest

from services.conductor.db import usage
from tests.functional.db.rows import NOON, add, add_hosts, make_instance, make_report

pytestmark = pytest.mark.functional
DAY = timedelta(days=1)


def by_host(database, start, end):
    with database.read() as conn:
        return {each.host: each.servers for each in usage.by_host(conn, start=start, end=end)}


def test_a_server_counts_for_its_host_in_every_period_in_which_it_ran(database):
    add_hosts(database, make_report("h1"), make_report("h2"), make_report("empty"))
    add(
        database,
        make_instance(host="h1", launched_at=NOON),
        make_instance(host="h1", launched_at=NOON, terminated_at=NOON + DAY, deleted=True),
        make_instance(host="h2", launched_at=NOON + DAY),
        make_instance(host="h1"),  # never ran
        make_instance(launched_at=NOON),  # is on no host
        make_instance(host="removed", launched_at=NOON),
    )

    before = by_host(database, NOON - 2 * DAY, NOON - DAY)
    first = by_host(database, NOON - DAY, NOON + DAY)
    later = by_host(database, NOON + 2 * DAY, NOON + 3 * DAY)

    assert before == {"empty": 0, "h1": 0, "h2": 0}
    assert first == {"empty": 0, "h1": 2, "h2": 0}
    assert later == {"empty": 0, "h1": 1, "h2": 1}

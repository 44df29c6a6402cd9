# SPDX-License-Identifier: Apache-2.0
"""kilonova-scheduler as a process, with a real database, broker and conductor's half."""

import pytest

from common.context import service_context
from common.errors import Unavailable
from common.objects.request_spec import RequestSpec
from common.objects.resources import Resources
from common.rpc.control import Control
from common.rpc.scheduler import Scheduler
from tests.functional.conductor_half import daemon_process
from tests.functional.db.rows import add_hosts, make_report
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

ADMIN = service_context()
SPEC = RequestSpec(
    instance_uuids=("i1",), project_id="p", need=Resources(vcpus=1, memory_mib=512, disk_gib=1)
)


@pytest.fixture
def scheduler(transport_url, tmp_path):
    with daemon_process("scheduler", transport_url, tmp_path) as process:
        yield process


def hosts_for(conductor) -> set[str]:
    selection = Scheduler.client(conductor.bus).select(ADMIN, SPEC)
    return {candidate.host for candidate in selection.candidates[0]}


def test_it_serves_once_a_conductor_gave_it_a_baseline(scheduler, conductor, database):
    add_hosts(database, make_report("h1"), make_report("h2"))
    wait_until(lambda: scheduler.health() == 503, "it says that it has no picture")
    with pytest.raises(Unavailable, match="picture of the hosts"):
        Scheduler.client(conductor.bus).select(ADMIN, SPEC)

    conductor.serve()
    scheduler.wait_until_healthy()

    assert hosts_for(conductor) == {"h1", "h2"}


def test_it_follows_what_the_conductor_tells_and_recovers_what_was_lost(
    scheduler, conductor, database
):
    conductor.serve()
    scheduler.wait_until_healthy()
    conductor.hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    conductor.deltas.publish()
    wait_until(lambda: hosts_for(conductor) == {"h1", "h2"}, "new hosts are chosen among")

    conductor.hosts.update_service(ADMIN, host="h1", binary="nova-compute", disabled=True)
    conductor.deltas.publish()
    wait_until(lambda: hosts_for(conductor) == {"h2"}, "a disabled host is left out")

    add_hosts(database, make_report("h3"))
    Scheduler.client(conductor.bus).apply(ADMIN, conductor.deltas._publisher, 999, [])
    wait_until(lambda: hosts_for(conductor) == {"h2", "h3"}, "a gap leads to a new baseline")


def test_it_registers_says_how_it_is_and_stops_when_told(scheduler, conductor, database):
    conductor.serve()
    scheduler.wait_until_healthy()
    wait_until(lambda: bool(conductor.hosts.services(ADMIN)), "it registered")

    (service,) = conductor.hosts.services(ADMIN)
    status = Control.client(conductor.bus, server="nova-scheduler.h0").status(ADMIN)

    assert (service.binary, service.host, service.is_up) == ("nova-scheduler", "h0", True)
    assert (status.healthy, status.pid) == (True, scheduler.process.pid)
    assert status.details == {"hosts": 0}
    assert scheduler.stop() == 0


def test_an_unknown_filter_keeps_it_from_starting(transport_url, tmp_path, capfd):
    with daemon_process("scheduler", transport_url, tmp_path, "enabled_filters = Nope") as process:
        assert process.process.wait(timeout=20) == 1

    assert "[scheduler] enabled_filters: unknown filter Nope; known: " in "".join(
        capfd.readouterr()
    )

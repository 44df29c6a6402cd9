# SPDX-License-Identifier: Apache-2.0
"""Hosts: services, compute nodes, what the scheduler is told, and zones."""

import uuid

import pytest
from sqlalchemy import update

from common.clock import SystemClock
from common.errors import Conflict, HostNotFound, Invalid, ServiceNotFound, Unavailable
from common.objects.daemon_status import DaemonStatus
from common.objects.resources import Resources
from common.rpc.control import Control
from common.rpc.scheduler import Scheduler
from services.conductor.db import compute_nodes, services, tables
from services.conductor.db.journal_tables import tasks
from services.conductor.deltas import Deltas
from services.conductor.endpoint.aggregates import AggregatesEndpoint
from services.conductor.endpoint.hosts import HostsEndpoint
from services.conductor.heartbeats import Heartbeats
from tests.functional.db.rows import DOWN_AFTER_S, NOON, add, caller, make_instance, make_report

pytestmark = pytest.mark.functional

ADMIN = caller(is_admin=True)


class Listener(Scheduler):
    """A scheduler that remembers what it was told; while `away` nothing reaches it."""

    def __init__(self):
        self.messages = []
        self.away = False

    def apply(self, ctx, publisher, number, deltas):
        if self.away:
            raise Unavailable(service="The message broker")
        self.messages.append((publisher, number, deltas))

    def hosts(self):
        return [
            (delta.node.report.host, delta.removed)
            for _, _, deltas in self.messages
            for delta in deltas
        ]


class Answering(Control):
    """The daemon on a queue; the one on `mute` does not answer."""

    def __init__(self, server):
        self.server = server

    def status(self, ctx):
        if "mute" in self.server:
            raise Unavailable(service=self.server)
        return DaemonStatus(
            name=self.server, host="h", release="1", healthy=True, pid=1, uptime_s=1, memory_mib=1
        )


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def deltas(database, listener):
    return Deltas(database, listener, publisher="c1", down_after_s=DOWN_AFTER_S, window_s=0)


@pytest.fixture
def heartbeats(database):
    return Heartbeats(database)


@pytest.fixture
def hosts(database, deltas, heartbeats):
    return HostsEndpoint(
        database, deltas, heartbeats, control_of=Answering, down_after_s=DOWN_AFTER_S,
        new_uuid=lambda: str(uuid.uuid4()), clock=SystemClock(),
    )  # fmt: skip


def silence(database, host):
    with database.begin() as conn:
        table = tables.services
        conn.execute(update(table).where(table.c.host == host).values(last_seen_at=NOON))


def claim(database, host, vcpus):
    with database.begin() as conn:
        table = tables.compute_nodes
        conn.execute(update(table).where(table.c.host == host).values(vcpus_claimed=vcpus))


def test_a_reported_host_is_a_service_and_a_compute_node(hosts):
    report = make_report("h1", cpu_ratio=4.0, reserved=Resources(memory_mib=384))

    hosts.report(ADMIN, [report])

    node = hosts.compute_node(ADMIN, report.uuid)
    service = hosts.services(ADMIN)[0]
    assert node.report == report
    assert node.is_up
    assert (node.service_id, node.service_uuid) == (service.id, service.uuid)
    assert (service.binary, service.availability_zone) == ("nova-compute", "nova")
    assert hosts.compute_node(ADMIN, str(node.id)) == node


def test_capacity_is_what_is_left_of_the_reserved_times_the_ratio(hosts, database):
    hosts.report(ADMIN, [make_report("h1", reserved=Resources(vcpus=1, memory_mib=384))])

    with database.read() as conn:
        row = conn.execute(tables.compute_nodes.select()).one()

    assert (row.vcpus_capacity, row.memory_capacity_mib, row.disk_capacity_gib) == (28, 16000, 100)


def test_a_report_that_comes_again_keeps_claims_and_what_operators_set(hosts, database, listener):
    hosts.report(ADMIN, [make_report("h1")])
    hosts.update_service(
        ADMIN, host="h1", binary="nova-compute", disabled=True, disabled_reason="disk"
    )
    claim(database, "h1", 5)
    first = hosts.compute_node(ADMIN, "1")

    hosts.report(ADMIN, [make_report("h1", total=Resources(vcpus=99))])

    node = hosts.compute_node(ADMIN, "1")
    assert len(hosts.compute_nodes(ADMIN)) == 1
    assert node.report.total.vcpus == 99
    assert node.claimed.vcpus == 5
    assert (node.disabled, node.disabled_reason) == (True, "disk")
    assert node.generation > first.generation


def test_reports_that_come_again_use_up_no_ids(hosts):
    for _ in range(5):
        hosts.report(ADMIN, [make_report("h1")])

    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])

    assert [service.id for service in hosts.services(ADMIN)] == [1, 2]
    assert [node.id for node in hosts.compute_nodes(ADMIN)] == [1, 2]


def test_a_host_that_forgot_its_uuid_is_refused(hosts):
    hosts.report(ADMIN, [make_report("h1")])

    with pytest.raises(Conflict, match="h1"):
        hosts.report(ADMIN, [make_report("h1", uuid=str(uuid.uuid4()))])


def test_reporting_many_hosts_costs_as_much_as_one(hosts, queries):
    with queries.at_most(4):
        hosts.report(ADMIN, [make_report(f"h{n}") for n in range(500)])
    with queries.at_most(4):
        hosts.report(ADMIN, [make_report(f"h{n}") for n in range(500)])

    with queries.at_most(1):
        assert len(hosts.compute_nodes(ADMIN)) == 500
    with queries.at_most(1):
        assert len(hosts.services(ADMIN)) == 500


def test_compute_nodes_are_found_by_name_and_page(hosts):
    hosts.report(ADMIN, [make_report(h) for h in ("a1", "a2", "b_1")])

    def found(**arguments):
        return [node.report.host for node in hosts.compute_nodes(ADMIN, **arguments)]

    assert found(hostname_pattern="a") == ["a1", "a2", "b_1"]  # all are in example.org
    assert found(hostname_pattern="b_") == ["b_1"]
    assert found(hostname_pattern="%") == []
    marker = hosts.compute_nodes(ADMIN)[0].report.uuid
    assert found(marker=marker, limit=1) == ["a2"]
    assert found(marker="2") == ["b_1"]
    for unknown in ("99999999999999999999", "nobody"):
        with pytest.raises(Invalid):
            found(marker=unknown)
        with pytest.raises(HostNotFound):
            hosts.compute_node(ADMIN, unknown)


def test_instances_under_way_count_as_building(hosts, database):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    add(database, make_instance(host="h1", task_state="spawning"), make_instance(host="h1"))

    assert [node.building for node in hosts.compute_nodes(ADMIN)] == [1, 0]
    assert hosts.compute_node(ADMIN, "1").building == 1


def test_a_service_is_up_until_it_was_silent_too_long(hosts, database, heartbeats):
    hosts.report(ADMIN, [make_report("h1")])
    silence(database, "h1")
    assert not hosts.services(ADMIN)[0].is_up

    hosts.heartbeat(ADMIN, "nova-compute", ["h1", "unknown"])
    assert heartbeats.write() == 1

    assert hosts.services(ADMIN)[0].is_up


def test_a_service_forced_down_stays_down_though_it_is_heard_from(hosts):
    hosts.report(ADMIN, [make_report("h1")])

    changed = hosts.update_service(ADMIN, host="h1", binary="nova-compute", forced_down=True)

    assert (changed.forced_down, changed.is_up) == (True, False)


def test_many_heartbeats_are_one_statement(hosts, heartbeats, queries):
    hosts.report(ADMIN, [make_report(f"h{n}") for n in range(100)])
    for n in range(100):
        hosts.heartbeat(ADMIN, "nova-compute", [f"h{n}"])

    with queries.at_most(1):
        assert heartbeats.write() == 100
    with queries.at_most(0):
        assert heartbeats.write() == 0


def test_heartbeats_wait_while_the_database_is_away(hosts, database, heartbeats, postgres):
    hosts.report(ADMIN, [make_report("h1")])
    silence(database, "h1")
    hosts.heartbeat(ADMIN, "nova-compute", ["h1"])

    with postgres.away(), pytest.raises(Unavailable):
        heartbeats.write()

    assert heartbeats.write() == 1
    assert hosts.services(ADMIN)[0].is_up


def test_the_heartbeat_thread_writes_what_is_left_when_it_stops(hosts, database, heartbeats):
    hosts.report(ADMIN, [make_report("h1")])
    silence(database, "h1")
    heartbeats.start()
    hosts.heartbeat(ADMIN, "nova-compute", ["h1"])

    heartbeats.stop()

    assert hosts.services(ADMIN)[0].is_up


def test_enabling_a_service_clears_the_reason(hosts):
    hosts.report(ADMIN, [make_report("h1")])
    named = {"uuid": hosts.services(ADMIN)[0].uuid}
    hosts.update_service(ADMIN, **named, disabled=True, disabled_reason="disk")

    enabled = hosts.update_service(ADMIN, **named, disabled=False)

    assert (enabled.disabled, enabled.disabled_reason) == (False, None)


def test_what_is_no_service_cannot_be_changed(hosts):
    hosts.register(ADMIN, binary="nova-scheduler", host="s", rpc_server="s", release="1")
    scheduler = hosts.services(ADMIN)[0]

    with pytest.raises(HostNotFound):
        hosts.update_service(ADMIN, host="h9", binary="nova-compute", disabled=True)
    with pytest.raises(ServiceNotFound):
        hosts.update_service(ADMIN, uuid="nobody", disabled=True)
    with pytest.raises(Invalid, match="nova-scheduler"):
        hosts.update_service(ADMIN, uuid=scheduler.uuid, disabled=True)
    with pytest.raises(ServiceNotFound):
        hosts.delete_service(ADMIN, "99999999999999999999")


def test_a_host_with_instances_keeps_its_service(hosts, database, deltas, listener):
    hosts.report(ADMIN, [make_report("h1")])
    there = add(database, make_instance(host="h1"))
    with pytest.raises(Conflict, match="h1"):
        hosts.delete_service(ADMIN, "1")
    with database.begin() as conn:
        conn.execute(tables.instances.delete().where(tables.instances.c.uuid == there.uuid))

    hosts.delete_service(ADMIN, "1")

    deltas.publish()
    assert (hosts.services(ADMIN), hosts.compute_nodes(ADMIN)) == ([], [])
    assert ("h1", True) in listener.hosts()


def test_a_change_reaches_the_scheduler_with_the_next_number(hosts, deltas, listener):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    deltas.publish()
    hosts.update_service(ADMIN, host="h2", binary="nova-compute", disabled=True)
    deltas.publish()
    deltas.publish()

    assert [(p, n, len(d)) for p, n, d in listener.messages] == [("c1", 1, 2), ("c1", 2, 1)]
    before, after = listener.messages[0][2][1].node, listener.messages[1][2][0].node
    assert after.disabled
    assert after.generation > before.generation
    assert hosts.baseline(ADMIN).published == {"c1": 2}
    assert after in hosts.baseline(ADMIN).hosts


def test_a_change_that_could_not_be_sent_is_sent_later_behind_a_gap(hosts, deltas, listener):
    listener.away = True
    hosts.report(ADMIN, [make_report("h1")])
    with pytest.raises(Unavailable):
        deltas.publish()

    listener.away = False
    deltas.publish()

    assert [(n, len(d)) for _, n, d in listener.messages] == [(2, 1)]


def test_the_publishing_thread_sends_what_changed_until_it_is_stopped(hosts, deltas, listener):
    deltas.start()
    hosts.report(ADMIN, [make_report("h1")])
    deltas.stop()

    assert listener.hosts() == [("h1", False)]


def test_a_host_that_went_down_or_up_is_told_once(hosts, database, deltas, listener):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    assert deltas.publish_transitions() == ["h1", "h2"]
    assert deltas.publish_transitions() == []

    silence(database, "h1")

    assert deltas.publish_transitions() == ["h1"]
    assert deltas.publish_transitions() == []
    last = listener.messages[-1][2][0].node
    assert (last.report.host, last.is_up) == ("h1", False)


def test_a_transition_that_could_not_be_told_is_told_by_the_next_sweep(
    hosts, database, deltas, listener
):
    hosts.report(ADMIN, [make_report("h1")])
    listener.away = True
    with pytest.raises(Unavailable):
        deltas.publish_transitions()

    listener.away = False

    assert deltas.publish_transitions() == ["h1"]


def test_zones_come_from_aggregates_and_daemons_are_internal(hosts, database):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    hosts.register(ADMIN, binary="nova-scheduler", host="s1", rpc_server="s1", release="1")
    hosts.update_service(ADMIN, host="h1", binary="nova-compute", disabled=True)
    with database.begin() as conn:
        conn.execute(tables.aggregates.insert(), [
            {"uuid": "a", "name": "ssd", "metadata": {"disk": "ssd"}},
            {"uuid": "b", "name": "az1", "metadata": {"availability_zone": "zone-1"}},
        ])  # fmt: skip
        conn.execute(tables.aggregate_hosts.insert(), [
            {"aggregate_id": 1, "host": "h1"}, {"aggregate_id": 2, "host": "h1"},
        ])  # fmt: skip

    zones = {zone.name: zone for zone in hosts.zones(ADMIN)}

    assert {name: (zone.available, list(zone.hosts)) for name, zone in zones.items()} == {
        "internal": (True, ["s1"]),
        "nova": (True, ["h2"]),
        "zone-1": (False, ["h1"]),
    }
    assert zones["zone-1"].hosts["h1"]["nova-compute"].active is False
    node = hosts.compute_node(ADMIN, "1")
    assert (node.availability_zone, node.aggregates) == ("zone-1", (1, 2))
    assert {"availability_zone": "zone-1"} in node.aggregate_metadata
    assert [(a.name, a.hosts) for a in hosts.aggregates(ADMIN)] == [
        ("ssd", ("h1",)), ("az1", ("h1",)),
    ]  # fmt: skip


def test_daemons_that_clients_do_not_know_are_asked_but_not_listed(hosts):
    hosts.register(ADMIN, binary="kilonova-api", host="a", rpc_server="a", release="1")
    hosts.register(ADMIN, binary="nova-conductor", host="c", rpc_server="c", release="1")

    assert [service.binary for service in hosts.services(ADMIN)] == ["nova-conductor"]
    assert hosts.services(ADMIN, binary="kilonova-api") == []
    assert [list(zone.hosts) for zone in hosts.zones(ADMIN)] == [["c"]]
    assert [h.binary for h in hosts.health(ADMIN)] == ["kilonova-api", "nova-conductor"]


def test_every_daemon_is_asked_how_it_is_once(hosts, database):
    shared = [make_report(f"h{n}", rpc_server="shared") for n in range(5)]
    hosts.report(ADMIN, [*shared, make_report("mute"), make_report("gone")])
    hosts.register(ADMIN, binary="nova-scheduler", host="s1", rpc_server="s1", release="1")
    silence(database, "gone")
    silence(database, "h0")

    health = {f"{h.binary}.{h.host}": h for h in hosts.health(ADMIN)}

    assert sorted(health) == [
        "nova-compute.gone", "nova-compute.mute", "nova-compute.shared", "nova-scheduler.s1",
    ]  # fmt: skip
    assert health["nova-compute.shared"].status.name == "nova-compute.shared"
    assert health["nova-compute.shared"].latency_ms is not None
    assert "not available" in health["nova-compute.mute"].error
    assert "Not heard from since 2026-01-02T12:00:00Z" in health["nova-compute.gone"].error


def test_instances_of_hosts_are_named(hosts, database):
    one = add(database, make_instance(host="h1", name="one"))

    assert hosts.instances_on(ADMIN, ["h1", "h2"]) == {"h1": [[one.uuid, "one"]], "h2": []}


def test_schedulers_know_what_was_decided_before_who_decided_it(hosts, listener):
    hosts.report(ADMIN, [make_report("h1")])

    hosts.update_service(ADMIN, host="h1", binary="nova-compute", disabled=True)

    ((_, _, (told,)),) = listener.messages
    assert told.node.disabled


def test_schedulers_learn_the_metadata_of_a_hosts_aggregates(hosts, deltas, database, listener):
    report = make_report("h1")
    hosts.report(ADMIN, [report, make_report("h2")])
    deltas.publish()
    aggregates = AggregatesEndpoint(database, deltas, warming=None, new_uuid=lambda: "a")
    made = aggregates.create(ADMIN, name="fast")
    aggregates.add_host(ADMIN, made.id, "h1")

    aggregates.set_metadata(ADMIN, made.id, {"disk": "ssd"})

    (_, _, [last]) = listener.messages[-1]
    assert (last.node.report.host, last.node.aggregate_metadata) == ("h1", ({"disk": "ssd"},))
    told = {node.report.host: node.aggregate_metadata for node in hosts.baseline(ADMIN).hosts}
    assert told == {"h1": ({"disk": "ssd"},), "h2": ()}


def test_what_is_under_way_on_hosts_is_what_tasks_wait_for(hosts, database):
    with database.begin() as conn:
        for number, (host, state) in enumerate(
            [("h1", "waiting"), ("h1", "waiting"), ("h2", "waiting"), ("h1", "done"),
             (None, "waiting"), ("h3", "queued")]
        ):  # fmt: skip
            conn.execute(
                tasks.insert().values(
                    uuid=str(number), flow="boot", instance_uuid=str(number), context={},
                    params={}, state=state, host=host,
                )
            )  # fmt: skip

    assert hosts.io_ops(ADMIN) == {"h1": 2, "h2": 1}


def test_a_zone_is_available_while_one_of_its_computes_is_enabled(hosts, database):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2")])
    with database.begin() as conn:
        conn.execute(tables.aggregates.insert(), [
            {"uuid": "a", "name": "az1", "metadata": {"availability_zone": "zone-1"}},
            {"uuid": "b", "name": "az2", "metadata": {"availability_zone": "empty"}},
        ])  # fmt: skip
        conn.execute(tables.aggregate_hosts.insert(), [{"aggregate_id": 1, "host": "h1"}])

    def available() -> list[str]:
        with database.read() as conn:
            known = ("nova", "zone-1", "empty", "nowhere", "internal")
            return [zone for zone in known if services.zone_is_available(conn, zone)]

    before = available()
    for host in ("h1", "h2"):
        hosts.update_service(ADMIN, host=host, binary="nova-compute", disabled=True)

    assert (before, available()) == (["nova", "zone-1"], [])


def test_a_node_is_found_by_its_host_its_name_or_both(hosts, database):
    hosts.report(ADMIN, [make_report("h1"), make_report("h2", node="n2")])

    def find(**named) -> str | None:
        with database.read() as conn:
            found = compute_nodes.candidate(conn, **{"host": None, "node": None, **named})
        return f"{found[0].host} {found[0].node} {found[1]}" if found else None

    assert find(host="h2") == find(node="n2") == find(host="h2", node="n2") == "h2 n2 nova"
    assert find(host="h1", node="n2") is find(host="nowhere") is None

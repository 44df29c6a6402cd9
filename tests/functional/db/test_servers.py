# SPDX-License-Identifier: Apache-2.0
"""The servers and metadata interfaces: small changes, tags, actions, console."""

from datetime import timedelta

import pytest

from common.errors import (
    HostDown,
    InstanceInvalidState,
    InstanceLocked,
    InstanceNotFound,
    InstanceNotReady,
    Invalid,
    NotFound,
    QuotaExceeded,
)
from common.objects.action import ActionEvent, InstanceAction
from common.objects.new_server import ServerFilters
from common.rpc.compute import Compute
from services.conductor.computes import Computes
from services.conductor.db import actions, instances, services
from services.conductor.endpoint.metadata import MetadataEndpoint
from services.conductor.endpoint.servers import ServersEndpoint
from services.conductor.quota import Quota
from tests.functional.db.rows import (
    DOWN_AFTER_S,
    NOON,
    PROJECT,
    USER,
    add,
    add_hosts,
    caller,
    make_instance,
    make_report,
    make_vif,
)
from tests.functional.db.test_quota import OPTIONS

pytestmark = pytest.mark.functional

MEMBER = caller()
ADMIN = caller(project_id="admins", is_admin=True)
STRANGER = caller(project_id="theirs")
NOBODY = caller(project_id=None)


class Console(Compute):
    """A compute daemon whose guests say where they are."""

    def __init__(self, server):
        self.server = server

    def console_output(self, ctx, host, instance, *, tail_bytes=102400):
        return f"on {self.server}\nfor {host}\n{instance.name}\n"


@pytest.fixture
def servers(database):
    return ServersEndpoint(
        database, create=None, delete=None, quota=Quota(OPTIONS),
        computes=Computes(Console, down_after_s=DOWN_AFTER_S),
        down_after_s=DOWN_AFTER_S,
        events_of=lambda conn, task: (ActionEvent(event=task, start_time=NOON),),
    )  # fmt: skip


@pytest.fixture
def server(database):
    """A running server of PROJECT with two metadata items and two tags."""
    return add(
        database,
        make_instance(metadata={"a": "1", "b": "2"}, tags=("red", "big"), launched_at=NOON),
    )


def change(database, server, **values):
    with database.begin() as conn:
        instances.change(conn, server.uuid, **values)


@pytest.mark.parametrize("stranger", [STRANGER, NOBODY])
def test_a_server_is_its_projects_own(servers, server, stranger):
    calls = [
        lambda: servers.get(stranger, server.uuid),
        lambda: servers.update(stranger, server.uuid, {"name": "mine"}),
        lambda: servers.metadata(stranger, server.uuid),
        lambda: servers.change_metadata(stranger, server.uuid, set_items={}, delete_keys=["a"]),
        lambda: servers.change_tags(stranger, server.uuid, add=["x"], remove=[]),
        lambda: servers.actions(stranger, server.uuid),
        lambda: servers.console_output(stranger, server.uuid),
    ]
    for call in calls:
        with pytest.raises(InstanceNotFound, match=server.uuid):
            call()

    assert servers.get(MEMBER, server.uuid).name == "server"
    assert servers.get(ADMIN, server.uuid).name == "server"
    assert servers.get(stranger, server.uuid, any_project=True).name == "server"


def test_an_update_changes_what_it_names_and_nothing_else(servers, server):
    changed = servers.update(
        MEMBER, server.uuid, {"name": "new", "description": None, "access_ip_v4": "192.0.2.1"}
    )

    assert changed == servers.get(MEMBER, server.uuid)
    assert (changed.name, changed.access_ip_v4, changed.hostname) == ("new", "192.0.2.1", "server")
    assert changed.updated_at is not None


@pytest.mark.parametrize(
    "changes", [{"vm_state": "active"}, {"project_id": "x"}, {"name": None}, {"name": 5}]
)
def test_an_update_of_anything_else_is_refused(servers, server, changes):
    with pytest.raises(Invalid):
        servers.update(ADMIN, server.uuid, changes)


def test_metadata_is_merged_replaced_and_deleted(servers, server):
    def changed(set_items=None, delete_keys=(), **how):
        return servers.change_metadata(
            MEMBER, server.uuid, set_items=set_items or {}, delete_keys=list(delete_keys), **how
        )

    assert changed({"b": "3", "c": "4"}) == {"a": "1", "b": "3", "c": "4"}
    assert changed(delete_keys=["a"]) == {"b": "3", "c": "4"}
    assert changed({"z": "0"}, replace=True) == {"z": "0"}
    assert servers.metadata(MEMBER, server.uuid) == {"z": "0"}
    with pytest.raises(NotFound, match="Metadata item was not found"):
        changed(delete_keys=["a"])
    with pytest.raises(QuotaExceeded):
        changed({str(n): "" for n in range(129)}, replace=True)


def test_tags_are_added_removed_and_replaced(servers, server):
    def changed(add=(), remove=(), **how):
        return servers.change_tags(MEMBER, server.uuid, add=list(add), remove=list(remove), **how)

    assert changed(add=["new", "red"]) == ["big", "new", "red"]
    assert changed(remove=["big"]) == ["new", "red"]
    assert changed(add=[f"t{n:02}" for n in range(50)], replace=True)[-1] == "t49"
    with pytest.raises(Invalid, match="50"):
        changed(add=["one more"])
    assert changed(replace=True) == servers.tags(MEMBER, server.uuid) == []
    with pytest.raises(NotFound):
        changed(remove=["big"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"vm_state": "building"}, "Cannot '{}' instance {} while it is in vm_state building"),
        ({"vm_state": "error"}, "Cannot '{}' instance {} while it is in vm_state error"),
    ],
)
def test_states_without_a_guest_refuse_changes(database, servers, server, state, message):
    change(database, server, **state)

    with pytest.raises(InstanceInvalidState) as refused:
        servers.change_metadata(MEMBER, server.uuid, set_items={}, delete_keys=["a"])
    assert str(refused.value) == message.format("delete metadata", server.uuid)
    with pytest.raises(InstanceInvalidState) as refused:
        servers.change_tags(MEMBER, server.uuid, add=[], remove=[], replace=True)
    assert str(refused.value) == message.format("delete tags", server.uuid)


def test_a_server_that_never_ran_keeps_its_metadata(database, servers, server):
    change(database, server, launched_at=None)

    with pytest.raises(InstanceInvalidState, match="while it is in launched_at None"):
        servers.change_metadata(MEMBER, server.uuid, set_items={"x": "y"}, delete_keys=[])
    assert servers.change_tags(MEMBER, server.uuid, add=["x"], remove=[])


def test_a_lock_stops_metadata_but_neither_tags_nor_administrators(database, servers, server):
    change(database, server, locked_by="admin")

    with pytest.raises(InstanceLocked, match=f"Instance {server.uuid} is locked"):
        servers.change_metadata(MEMBER, server.uuid, set_items={"x": "y"}, delete_keys=[])
    assert servers.change_metadata(ADMIN, server.uuid, set_items={"x": "y"}, delete_keys=[])
    assert servers.change_tags(MEMBER, server.uuid, add=["x"], remove=[])


def test_lists_of_servers_go_through(servers, server):
    assert [s.uuid for s in servers.list_servers(MEMBER, ServerFilters(project_id=PROJECT))] == [
        server.uuid
    ]


def test_the_console_is_asked_on_the_queue_of_the_instances_host(database, servers, server):
    add_hosts(database, make_report("h1", rpc_server="queue"))
    change(database, server, host="h1")

    assert servers.console_output(MEMBER, server.uuid) == "on queue\nfor h1\nserver\n"
    assert servers.console_output(MEMBER, server.uuid, lines=2) == "server\n"
    assert servers.console_output(MEMBER, server.uuid, lines=0) == ""


def test_a_server_on_no_host_or_on_a_dead_one_has_no_console(database, servers, server):
    with pytest.raises(InstanceNotReady):
        servers.console_output(MEMBER, server.uuid)

    add_hosts(database, make_report("h1"))
    change(database, server, host="h1")
    with database.begin() as conn:
        services.change(conn, 1, forced_down=True)
    with pytest.raises(HostDown):
        servers.console_output(MEMBER, server.uuid)

    change(database, server, host="never heard of")
    with pytest.raises(HostDown):
        servers.console_output(MEMBER, server.uuid)


def record(database, server, count):
    with database.begin() as conn:
        actions.add(conn, [
            (InstanceAction(
                action=f"action{n}", instance_uuid=server.uuid, request_id=f"req-{n}",
                user_id=USER, project_id=PROJECT, start_time=NOON + timedelta(seconds=n // 2),
            ), f"task-{n}" if n else None)
            for n in range(count)
        ])  # fmt: skip


def test_actions_are_listed_newest_first_and_page(database, servers, server):
    record(database, server, 5)

    def listed(**arguments):
        return [a.request_id for a in servers.actions(MEMBER, server.uuid, **arguments)]

    assert listed() == ["req-4", "req-3", "req-2", "req-1", "req-0"]
    assert listed(limit=2, marker="req-3") == ["req-2", "req-1"]
    assert listed(changes_since="2026-01-02T12:00:01") == ["req-4", "req-3", "req-2"]
    assert listed(changes_before="2026-01-02T12:00:00+00:00") == ["req-1", "req-0"]
    with pytest.raises(Invalid):
        listed(marker="req-9")
    with pytest.raises(Invalid):
        listed(changes_since="soon")


def test_actions_outlive_their_server(database, servers, server):
    record(database, server, 1)
    change(database, server, vm_state="deleted", deleted_at=NOON)

    assert len(servers.actions(MEMBER, server.uuid)) == 1
    with pytest.raises(InstanceNotFound):
        servers.get(MEMBER, server.uuid)


def test_an_action_has_the_events_of_its_task(database, servers, server):
    record(database, server, 2)

    assert servers.action(MEMBER, server.uuid, "req-0").events == ()
    assert servers.action(MEMBER, server.uuid, "req-1").events[0].event == "task-1"
    with pytest.raises(NotFound):
        servers.action(MEMBER, server.uuid, "req-9")


def test_a_guest_is_found_by_uuid_and_address_and_posts_one_password(database, server):
    metadata = MetadataEndpoint(database)
    change(database, server, vifs=(make_vif("10.0.0.7"),))

    (found,) = metadata.find(ADMIN, [], ["10.0.0.7"])
    assert (found.instance.uuid, found.password) == (server.uuid, None)
    assert metadata.set_password(ADMIN, server.uuid, "first")
    assert not metadata.set_password(ADMIN, server.uuid, "second")
    (found,) = metadata.find(ADMIN, [server.uuid], [])
    assert found.password == "first"
    with pytest.raises(InstanceNotFound):
        metadata.set_password(ADMIN, "nobody", "x")

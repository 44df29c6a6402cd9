# SPDX-License-Identifier: Apache-2.0
"""Tokens of consoles: whom they are for, how long they hold, and what ends them sooner."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from common.context import service_context
from common.errors import (
    ConsoleTokenNotFound,
    ConsoleTypeUnavailable,
    HostDown,
    InstanceInvalidState,
    InstanceNotFound,
    InstanceNotReady,
)
from common.ids import new_token
from common.objects.console import ConsoleAddress, ConsoleKind, ConsoleType
from common.rpc.compute import Compute
from services.conductor.computes import Computes
from services.conductor.db import instances, tables
from services.conductor.db.console_token_tables import console_tokens
from services.conductor.endpoint.consoles import ConsolesEndpoint
from tests.functional.db.rows import (
    DOWN_AFTER_S,
    NOON,
    add,
    add_hosts,
    caller,
    make_instance,
    make_report,
)

pytestmark = pytest.mark.functional

ADMIN = service_context()
NOVNC, SERIAL = ConsoleType.NOVNC, ConsoleType.SERIAL


class OneCompute(Compute):
    """A host whose guests have the consoles in `there`."""

    def __init__(self):
        self.there = {
            ConsoleKind.VNC: ConsoleAddress(host="10.0.0.1", port=5900),
            ConsoleKind.SERIAL: ConsoleAddress(host="10.0.0.1", port=10000),
        }

    def console(self, ctx, host, instance_uuid, *, kind):
        if kind not in self.there:
            raise ConsoleTypeUnavailable(console_type=kind)
        if self.there[kind] is None:
            raise InstanceNotReady(instance=instance_uuid)
        return self.there[kind]


@pytest.fixture
def compute():
    return OneCompute()


@pytest.fixture
def consoles(database, compute):
    add_hosts(database, make_report("host1"), make_report("host2"))
    return _endpoint(database, compute)


def _endpoint(database, compute, ttl_s=600):
    return ConsolesEndpoint(
        database,
        Computes(lambda server: compute, down_after_s=DOWN_AFTER_S),
        ttl_s=ttl_s,
        down_after_s=DOWN_AFTER_S,
        new_token=new_token,
    )


@pytest.fixture
def server(database):
    return add(database, make_instance(host="host1", node="host1", launched_at=NOON))


def change(database, server, **values):
    with database.begin() as conn:
        instances.change(conn, server.uuid, **values)


def kept(database):
    with database.read() as conn:
        return conn.execute(select(func.count()).select_from(console_tokens)).scalar_one()


def test_a_token_opens_its_console_as_often_as_it_is_asked(consoles, server, compute):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)

    for _ in range(2):
        found = consoles.find(ADMIN, token)
        assert (found.instance_uuid, found.console_type) == (server.uuid, NOVNC)
        assert found.address == compute.there[ConsoleKind.VNC]
        assert 590 < found.left_s <= 600


def test_every_token_is_another_one_and_none_is_in_the_database(consoles, server, database):
    tokens = [consoles.create(caller(), server.uuid, console_type=SERIAL) for _ in range(3)]

    assert len(set(tokens)) == 3
    assert all(len(token) == 43 for token in tokens)
    with database.read() as conn:
        rows = [str(row) for row in conn.execute(select(console_tokens))]
    assert len(rows) == 3
    assert not any(token in row for token in tokens for row in rows)


def test_an_unknown_token_opens_nothing(consoles, server):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)

    for wrong in ("", token[:-1], token + "x", token.swapcase(), "x" * 100_000, "\x00"):
        with pytest.raises(ConsoleTokenNotFound):
            consoles.find(ADMIN, wrong)


def test_a_token_ends_with_its_time(consoles, server, database):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)
    with database.begin() as conn:
        conn.execute(update(console_tokens).values(expires_at=func.now()))

    with pytest.raises(ConsoleTokenNotFound):
        consoles.find(ADMIN, token)
    consoles.purge()
    assert kept(database) == 0


@pytest.mark.parametrize(
    "what",
    [
        {"deleted_at": NOON, "vm_state": "deleted"},
        {"host": "host2", "node": "host2"},
        {"host": None},
        {"launched_at": NOON + timedelta(seconds=1)},
    ],
    ids=("deleted", "moved", "offloaded", "rebuilt"),
)
def test_a_token_ends_when_its_guest_is(consoles, server, database, what):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)

    change(database, server, **what)

    with pytest.raises(ConsoleTokenNotFound):
        consoles.find(ADMIN, token)
    consoles.purge()
    assert kept(database) == 0


def test_other_changes_and_the_chore_leave_a_token_alone(consoles, server, database):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)

    change(database, server, name="other", vm_state="paused", task_state="rebooting")
    consoles.purge()

    assert consoles.find(ADMIN, token).instance_uuid == server.uuid


def test_a_port_that_is_another_guests_by_now_is_not_opened(consoles, server, compute):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)
    before = compute.there[ConsoleKind.VNC]
    compute.there[ConsoleKind.VNC] = ConsoleAddress(host="10.0.0.1", port=5901)

    with pytest.raises(ConsoleTokenNotFound):
        consoles.find(ADMIN, token)
    compute.there[ConsoleKind.VNC] = before
    with pytest.raises(ConsoleTokenNotFound):
        consoles.find(ADMIN, token)


def test_a_guest_that_is_off_for_a_while_is_no_reason_to_forget_its_token(
    consoles, server, compute
):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)
    before = compute.there[ConsoleKind.VNC]
    compute.there[ConsoleKind.VNC] = None
    with pytest.raises(ConsoleTokenNotFound):
        consoles.find(ADMIN, token)
    compute.there[ConsoleKind.VNC] = before

    assert consoles.find(ADMIN, token).address == before


def test_a_type_that_the_guest_does_not_have_is_named_as_it_was_asked_for(consoles, server):
    with pytest.raises(ConsoleTypeUnavailable, match=r"^Unavailable console type spice-html5\.$"):
        consoles.create(caller(), server.uuid, console_type=ConsoleType.SPICE_HTML5)


def test_servers_of_others_have_no_console(consoles, server):
    stranger = caller(project_id="3" * 32)

    with pytest.raises(InstanceNotFound):
        consoles.create(stranger, server.uuid, console_type=NOVNC)
    assert consoles.create(ADMIN, server.uuid, console_type=NOVNC)


@pytest.mark.parametrize("task_state", ["deleting", "migrating"])
def test_a_server_that_goes_away_has_no_console(consoles, server, database, task_state):
    change(database, server, task_state=task_state)

    with pytest.raises(InstanceInvalidState) as refused:
        consoles.create(caller(), server.uuid, console_type=NOVNC)
    assert str(refused.value) == (
        f"Cannot 'get_vnc_console' instance {server.uuid} while it is in task_state {task_state}"
    )


def test_a_server_on_no_host_is_not_ready(consoles, database):
    homeless = add(database, make_instance(vm_state="building"))

    with pytest.raises(InstanceNotReady, match=f"Instance {homeless.uuid} is not ready"):
        consoles.create(caller(), homeless.uuid, console_type=NOVNC)


def test_consoles_of_a_host_that_is_down_are_unavailable(consoles, server, database):
    token = consoles.create(caller(), server.uuid, console_type=NOVNC)
    with database.begin() as conn:
        conn.execute(
            update(tables.services)
            .where(tables.services.c.host == "host1")
            .values(last_seen_at=NOON, forced_down=True)
        )

    for ask in (
        lambda: consoles.create(caller(), server.uuid, console_type=NOVNC),
        lambda: consoles.find(ADMIN, token),
    ):
        with pytest.raises(HostDown):
            ask()


def test_a_server_that_moves_while_its_host_is_asked_gets_no_token(consoles, server, database):
    class Moving(OneCompute):
        def console(self, ctx, host, instance_uuid, *, kind):
            change(database, server, host="host2")
            return super().console(ctx, host, instance_uuid, kind=kind)

    with pytest.raises(InstanceNotReady):
        _endpoint(database, Moving()).create(caller(), server.uuid, console_type=NOVNC)
    assert kept(database) == 0


def test_the_chore_keeps_pace_with_many_tokens(database, consoles, server):
    row = {
        "instance_uuid": server.uuid, "console_type": "novnc", "instance_host": "host1",
        "host": "h", "port": 1, "expires_at": NOON,
    }  # fmt: skip
    with database.begin() as conn:
        conn.execute(
            console_tokens.insert(), [{"token_hash": str(n), **row} for n in range(10_001)]
        )

    consoles.purge()

    assert kept(database) == 0


def test_opening_and_asking_cost_few_statements(consoles, server, queries):
    with queries.at_most(3):
        token = consoles.create(caller(), server.uuid, console_type=NOVNC)
    with queries.at_most(2):
        consoles.find(ADMIN, token)

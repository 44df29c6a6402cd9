# SPDX-License-Identifier: Apache-2.0
"""Lock and state checks: in their order, in the words that clients know."""

from datetime import UTC, datetime

import pytest

from common.context import RequestContext
from common.errors import InstanceInvalidState, InstanceLocked
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from services.conductor.accept.checks import check

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MEMBER = RequestContext(request_id="r", project_id="p")
ADMIN = RequestContext(request_id="r", project_id="p", is_admin=True)


def instance(**values):
    return Instance(
        **{
            "uuid": "u", "project_id": "p", "user_id": "x", "name": "n", "hostname": "n",
            "vm_state": "active", "created_at": NOON, "launched_at": NOON,
            "flavor": Flavor(flavorid="1", name="f", vcpus=1, memory_mib=1, root_gib=1), **values,
        }
    )  # fmt: skip


def test_what_is_allowed_passes():
    check(MEMBER, instance(), "stop")
    check(MEMBER, instance(vm_state="stopped"), "start")
    check(MEMBER, instance(vm_state="building", launched_at=None), "delete")


@pytest.mark.parametrize(
    ("values", "operation", "text"),
    [
        (
            {"vm_state": "stopped"},
            "stop",
            "Cannot 'stop' instance u while it is in vm_state stopped",
        ),
        (
            {"task_state": "rebooting"},
            "reboot",
            "Cannot 'reboot' instance u while it is in task_state rebooting",
        ),
        ({"launched_at": None}, "stop", "Cannot 'stop' instance u while it is in launched_at None"),
    ],
)
def test_a_refusal_names_operation_attribute_and_value(values, operation, text):
    with pytest.raises(InstanceInvalidState) as refused:
        check(MEMBER, instance(**values), operation)

    assert str(refused.value) == text


def test_a_lock_comes_before_the_state_and_stops_no_administrator():
    locked = instance(locked_by="owner", vm_state="stopped")

    with pytest.raises(InstanceLocked):
        check(MEMBER, locked, "stop")
    with pytest.raises(InstanceInvalidState):
        check(ADMIN, locked, "stop")

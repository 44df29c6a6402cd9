# SPDX-License-Identifier: Apache-2.0
"""Whether an instance's lock and state allow an operation, as `common.states.ALLOWED` has it."""

from common.context import RequestContext
from common.errors import InstanceHasShares, InstanceInvalidState, InstanceLocked, NotForTpm
from common.objects.instance import Instance
from common.states import ALLOWED, Allowed

# What leaves behind everything on the host but disks, as clients know it: a TPM cannot follow.
_NOT_FOR_TPMS = {"shelve": "shelve", "evacuate": "evacuate"}

# What a share cannot follow through, as clients know it.
_NOT_WITH_SHARES = {
    "resize": "resize", "migrate": "migrate", "live_migrate": "os-migrateLive",
    "evacuate": "evacuate", "shelve": "shelve", "suspend": "suspend",
}  # fmt: skip


def check(ctx: RequestContext, instance: Instance, operation: str) -> None:
    """Refuse `operation`, a key of ALLOWED, where the instance does not allow it now.

    What its devices forbid comes first, then the lock, which does not stop administrators; then
    vm_state, task_state and whether the instance has ever run.
    Raises: NotForTpm, InstanceHasShares, InstanceLocked, InstanceInvalidState.
    """
    if operation in _NOT_FOR_TPMS and has_tpm(instance):
        raise NotForTpm(operation=_NOT_FOR_TPMS[operation], instance=instance.uuid)
    if operation in _NOT_WITH_SHARES and instance.shares:
        raise InstanceHasShares(operation=_NOT_WITH_SHARES[operation], instance=instance.uuid)
    allowed = ALLOWED[operation]
    if allowed.lock_checked and instance.locked_by and not ctx.is_admin:
        raise InstanceLocked(instance=instance.uuid)
    check_state(instance, allowed)


def has_tpm(instance: Instance) -> bool:
    """Whether its guest has a virtual TPM, by its flavor or its image."""
    properties = instance.image.properties if instance.image else {}
    asked = instance.flavor.extra_specs.get("hw:tpm_version") or properties.get("hw_tpm_version")
    return bool(asked and asked.strip())


def check_state(instance: Instance, allowed: Allowed) -> None:
    """The part of `check` that holds for everybody."""
    refused: tuple[str, object] | None = None
    if allowed.vm_states is not None and instance.vm_state not in allowed.vm_states:
        refused = ("vm_state", instance.vm_state)
    elif allowed.task_states is not None and instance.task_state not in allowed.task_states:
        refused = ("task_state", instance.task_state)
    elif allowed.must_have_launched and instance.launched_at is None:
        refused = ("launched_at", None)
    if refused is not None:
        raise InstanceInvalidState(
            operation=allowed.word, instance=instance.uuid, attribute=refused[0], state=refused[1]
        )

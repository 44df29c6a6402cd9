# SPDX-License-Identifier: Apache-2.0
"""What containers have not, on a real libvirtd."""

import uuid

import msgspec
import pytest

pytest.importorskip("libvirt")

from common.errors import DomainNotFound, NotSupported
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleKind
from common.states import PowerState
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance
from tests.integration.compute.container_host import *  # noqa: F403

pytestmark = pytest.mark.integration


def a_volume():
    return BlockDeviceMapping(
        uuid=str(uuid.uuid4()), source="volume", destination="volume", volume_id=str(uuid.uuid4())
    )


_REFUSED = (
    ("suspend", lambda driver, i: driver.suspend(i)),
    ("suspend", lambda driver, i: driver.resume(i)),
    ("rescue", lambda driver, i: driver.rescue(i, IMAGE)),
    ("crash dump", lambda driver, i: driver.trigger_crash_dump(i)),
    ("change passwords", lambda driver, i: driver.change_password(i, "secret")),
    ("file systems", lambda driver, i: driver.unquiesce(i)),
    ("vnc", lambda driver, i: driver.console(i.uuid, ConsoleKind.VNC)),
    ("spice", lambda driver, i: driver.console(i.uuid, ConsoleKind.SPICE)),
    ("serial", lambda driver, i: driver.console(i.uuid, ConsoleKind.SERIAL)),
    ("attach volumes", lambda driver, i: driver.attach_volume(i, a_volume())),
    ("swap volumes", lambda driver, i: driver.swap_volume(i, a_volume(), a_volume())),
    ("extend volumes", lambda driver, i: driver.extend_volume(i, a_volume())),
    ("volumes", lambda driver, i: driver.snapshot_volume(i, a_volume(), "file")),
    ("volumes", lambda driver, i: driver.merge_volume_snapshot(i, a_volume(), {})),
    ("move running", lambda driver, i: driver.offer_live(i)),
    (
        "move running",
        lambda driver, i: driver.prepare_live(i, from_host="a", block_migration=None),
    ),
    ("move running", lambda driver, i: driver.migrate_live(i, to_host="a", target=None)),
    ("move running", lambda driver, i: driver.complete_live(i.uuid)),
)


def test_what_containers_lack_is_refused_and_changes_nothing(driver, build):
    instance = build()

    for what, operation in _REFUSED:
        with pytest.raises(NotSupported, match=f"cannot .*{what}"):
            operation(driver, instance)
        assert driver.power_state(instance.uuid) is PowerState.RUNNING


def test_undoing_what_was_refused_is_fine(driver, build):
    instance = build()

    assert driver.unrescue(instance) is PowerState.RUNNING
    assert driver.detach_volume(instance, a_volume()) is PowerState.RUNNING
    driver.withdraw_live(instance)
    driver.discard_live(make_instance())  # where it would have come to

    assert driver.power_state(instance.uuid) is PowerState.RUNNING


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"block_devices": (a_volume(),)}, "volumes"),
        ({"flavor": msgspec.structs.replace(TINY, extra_specs={"hw:tpm_version": "2.0"})}, "TPM"),
        (
            {"image": msgspec.structs.replace(IMAGE, properties={"hw_firmware_type": "uefi"})},
            "firmware",
        ),
    ],
)
def test_what_a_container_cannot_have_is_refused_before_anything_is_made(
    driver, libvirt_host, values, what
):
    instance = make_instance(**values)

    with pytest.raises(NotSupported, match=what):
        driver.build(instance)

    assert not (libvirt_host.folder / "containers" / "instances" / instance.uuid).exists()
    with pytest.raises(DomainNotFound):
        driver.power_state(instance.uuid)

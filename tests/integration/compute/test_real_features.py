# SPDX-License-Identifier: Apache-2.0
"""Hardware that flavors and images ask for, as libvirt has it and as Linux in the guest sees it."""

from xml.etree import ElementTree as ET

import pytest

from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.states import PowerState
from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver
from services.compute.virt.libvirt.settings import Settings
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance, make_vif
from tests.integration import real_guest
from tests.integration.compute import tpm
from tests.integration.compute.volumes import make_volumes
from tests.integration.real_guest import RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(real_guest.missing), reason=f"no {', '.join(real_guest.missing)}"),
]

PLATFORM = Platform(disk_cache="unsafe", cpu_model="Nehalem", cpu_features=("aes",))
DEVICES = make_instance(
    flavor=Flavor(
        flavorid="8", name="devices", vcpus=4, memory_mib=256, root_gib=1,
        extra_specs={
            "hw:cpu_max_sockets": "2", "hw:cpu_max_threads": "1", "hw:numa_nodes": "2",
            "hw:watchdog_action": "pause", "hw_rng:allowed": "true", "hw:serial_port_count": "2",
            "hw:boot_menu": "true", "hw:vif_multiqueue_enabled": "true",
            "hw:tpm_version": "2.0", "hw:hide_hypervisor_id": "true",
        },
    ),
    image=ImageMeta(
        id="5c8a1fd3-4f07-4a59-9d26-63d3b3a2c001", disk_format="raw",
        properties={
            "hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi", "hw_video_model": "cirrus",
            "hw_sound_model": "ich6", "hw_usb_model": "qemu-xhci", "hw_input_bus": "usb",
        },
    ),
    vifs=(make_vif(),),
)  # fmt: skip
SECURE = make_instance(
    flavor=Flavor(
        flavorid="7", name="secure", vcpus=1, memory_mib=320, root_gib=1,
        extra_specs={
            "os:secure_boot": "required", "hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb",
        },
    ),
    image=ImageMeta(
        id="5c8a1fd3-4f07-4a59-9d26-63d3b3a2c002", disk_format="qcow2",
        properties={
            "hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_video_model": "virtio",
            "hw_vif_model": "e1000e",
        },
    ),
    vifs=(make_vif(mac="fa:16:3e:00:00:02", device="tap5a1c9e77-01"),),
)  # fmt: skip
# What devices are called on the guest's PCI bus.
PCI = {
    "virtio-scsi": "0x1af4 0x1004", "rng": "0x1af4 0x1005", "balloon": "0x1af4 0x1002",
    "nic": "0x1af4 0x1000", "watchdog": "0x8086 0x25ab", "video": "0x1013 0x00b8",
    "sound": "0x8086 0x2668", "usb": "0x1b36 0x000d",
}  # fmt: skip


class Images:
    """An image service with both images."""

    def __init__(self, folder):
        self._folder = folder

    def download(self, image_id):
        if image_id == SECURE.image.id:
            yield real_guest.uefi_image().read_bytes()
        else:
            path = real_guest.raw_disk(self._folder / "raw", root="/dev/sda2")
            yield path.read_bytes()
            path.unlink()


@pytest.fixture(scope="module")
def changes():
    return []


@pytest.fixture(scope="module")
def driver(libvirt_host, tmp_path_factory, changes):
    state = libvirt_host.folder / "features"
    made = LibvirtDriver(
        Settings(
            host=libvirt_host.name, connection_uri=libvirt_host.uri, state_folder=state,
            instances=state / "instances", virt_type="qemu", platform=PLATFORM,
        ),
        ImageCache(
            state / "images", Images(tmp_path_factory.mktemp("images")), most_bytes=4 * GIB
        ),
        make_volumes(state, libvirt_host.name),
    )  # fmt: skip
    made.start(changes.append)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def run(driver, libvirt_host):
    """Builds an instance on a bridge; it is gone after the module."""
    libvirt_host.add_bridge("br-test")
    built = []

    def run(instance):
        built.append(instance)
        driver.build(instance)
        guest = RealGuest(libvirt_host, driver, instance)
        guest.wait_ready()
        return guest

    yield run
    for instance in built:
        driver.destroy(instance)
    libvirt_host.remove_bridge("br-test")
    swtpm = libvirt_host.folder / "lib" / "swtpm"
    assert not [path for path in swtpm.iterdir() if path.name in {i.uuid for i in built}]


@pytest.fixture(scope="module")
def devices(run):
    return run(DEVICES)


@pytest.fixture(scope="module")
def secure(run):
    guest = run(SECURE)
    remember(guest, "tpm-test")
    guest.sh("sync")
    return guest


class TestDevices:
    """A guest with a little of everything."""

    @pytest.fixture
    def guest(self, devices):
        return devices

    @pytest.fixture
    def definition(self, devices, libvirt_host):
        return ET.fromstring(libvirt_host.run("virsh", "dumpxml", f"kilonova-{DEVICES.uuid}"))

    def test_its_definition_has_them(self, definition):
        found = {
            "cpu": definition.findtext("cpu/model"),
            "feature": [
                f.get("name") for f in definition.iterfind("cpu/feature[@policy='require']")
            ],
            "topology": definition.find("cpu/topology").attrib,
            "nodes": len(definition.findall("cpu/numa/cell")),
            "watchdog": definition.find("devices/watchdog").get("action"),
            "rng": definition.findtext("devices/rng/backend"),
            "ports": len(definition.findall("devices/serial")),
            "menu": definition.find("os/bootmenu").get("enable"),
            "queues": definition.find("devices/interface/driver").get("queues"),
            "tpm": definition.find("devices/tpm").get("model"),
            "stats": definition.find("devices/memballoon/stats").get("period"),
        }

        assert "aes" in found.pop("feature")
        assert (
            found.pop("topology").items() >= {"sockets": "2", "cores": "2", "threads": "1"}.items()
        )
        assert found == {
            "cpu": "Nehalem", "nodes": 2, "watchdog": "pause", "rng": "/dev/urandom", "ports": "2",
            "menu": "yes", "queues": "4", "tpm": "tpm-tis", "stats": "10",
        } | {"ports": 2}  # fmt: skip

    def test_linux_sees_its_processors(self, guest):
        cpus = guest.sh("cat /proc/cpuinfo")

        assert cpus.count("model name\t: Intel Core i7 9xx (Nehalem") == 4
        assert "cpu cores\t: 2" in cpus
        assert {line for line in cpus.splitlines() if line.startswith("physical id")} == {
            "physical id\t: 0", "physical id\t: 1",
        }  # fmt: skip
        flags = next(line for line in cpus.splitlines() if line.startswith("flags")).split()
        assert "aes" in flags
        assert "hypervisor" not in flags

    def test_linux_sees_its_nodes(self, guest):
        nodes = "/sys/devices/system/node"

        assert guest.sh(f"cat {nodes}/node0/cpulist {nodes}/node1/cpulist") == "0-1\n2-3"

    def test_the_host_says_where_it_is(self, guest, driver):
        place = driver.place(DEVICES.uuid)

        assert place.pins == {}
        assert place.nodes.keys() in ({0, 1}, set())  # a host of several nodes binds it to none

    def test_linux_sees_its_devices(self, guest):
        seen = guest.sh(
            'for d in /sys/bus/pci/devices/*; do echo "$(cat $d/vendor) $(cat $d/device)"; done'
        ).splitlines()

        assert {name for name, ids in PCI.items() if ids not in seen} == set()

    def test_linux_uses_them(self, guest):
        guest.sh("modprobe virtio_net; modprobe virtio-rng")

        assert guest.disks().keys() == {"sda"}
        assert "virtio_rng" in guest.sh("cat /sys/class/misc/hw_random/rng_available")
        assert guest.sh("ls -d /sys/class/net/eth0/queues/rx-* | wc -l") == "4"
        assert "1: uart:16550A" in guest.sh("cat /proc/tty/driver/serial")

    def test_what_the_balloon_says_of_its_memory_is_known(self, guest, libvirt_host):
        guest.sh("modprobe virtio_balloon")

        def known():
            return libvirt_host.run("virsh", "dommemstat", f"kilonova-{DEVICES.uuid}")

        wait_until(lambda: "unused" in known(), within_s=30)

    def test_it_hears_a_non_maskable_interrupt(self, guest, driver):
        driver.trigger_crash_dump(DEVICES)

        guest.wait_until(lambda: "NMI" in guest.sh("dmesg | grep -i nmi || true"))
        assert driver.power_state(DEVICES.uuid) is PowerState.RUNNING


class TestSecure:
    """A guest that boots by UEFI, with secure boot and a TPM, through its life."""

    @pytest.fixture
    def guest(self, secure):
        return secure

    @pytest.fixture
    def folder(self, libvirt_host):
        return libvirt_host.folder / "lib" / "swtpm" / SECURE.uuid / "tpm2"

    def test_linux_has_booted_securely(self, guest):
        assert "Secure boot enabled" in guest.sh("dmesg")
        assert guest.sh("ls -d /sys/firmware/efi")

    def test_a_soft_reboot_is_the_guests_own(self, guest, driver, folder):
        born_with = tpm.seeds(folder)

        assert driver.reboot(SECURE, hard=False) is PowerState.RUNNING

        guest.wait_ready(boots=2)
        assert guest.console().count("GUEST shutdown") == 1
        assert recall(guest) == "tpm-test"
        assert tpm.seeds(folder) == born_with

    def test_a_suspended_guest_goes_on_with_its_tpm(self, guest, driver):
        driver.suspend(SECURE)

        assert driver.resume(SECURE) is PowerState.RUNNING

        assert recall(guest) == "tpm-test"

    def test_a_stop_is_the_guests_own_and_is_told(self, guest, driver, changes):
        changes.clear()

        assert driver.power_off(SECURE, grace_s=60) is PowerState.SHUTDOWN

        assert guest.console().count("GUEST shutdown") == 2
        wait_until(lambda: SECURE.uuid in changes, within_s=2)
        driver.power_on(SECURE)
        guest.wait_ready(boots=3)
        assert recall(guest) == "tpm-test"

    def test_a_guest_that_shuts_itself_down_is_told(self, guest, driver, changes):
        changes.clear()

        guest.sh("(sleep 1; poweroff) > /dev/null 2>&1 &")

        wait_until(lambda: driver.power_state(SECURE.uuid) is PowerState.SHUTDOWN, within_s=60)
        wait_until(lambda: SECURE.uuid in changes, within_s=2)

    def test_it_remembers_after_a_hard_reboot_and_forgets_when_it_is_rebuilt(
        self, guest, driver, folder
    ):
        driver.reboot(SECURE, hard=True)
        guest.wait_ready(boots=4)
        assert recall(guest) == "tpm-test"
        born_with = tpm.seeds(folder)

        driver.rebuild(SECURE)

        assert tpm.seeds(folder) != born_with


# Commands of TPM 2.0, for an index in the memory of its owner, who has no password.
_OWNER, _INDEX, _AUTH = "40000001", "01800001", "00000009 40000009 0000 00 0000"


def command(code, rest):
    body = bytes.fromhex(rest)
    return bytes.fromhex("8002") + (10 + len(body)).to_bytes(4) + bytes.fromhex(code) + body


def ask(guest, request):
    """What the TPM answers, once it has said that all is well."""
    octal = "".join(f"\\{byte:03o}" for byte in request)
    said = guest.sh(
        f"exec 3<>/dev/tpm0; printf '{octal}' | dd bs=4096 iflag=fullblock >&3 2>/dev/null; "
        "dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 \"%02x\"'"
    )
    answer = bytes.fromhex(said)
    assert answer[6:10] == bytes(4), said
    return answer[10:]


def remember(guest, word):
    data = word.encode()
    public = bytes.fromhex(f"{_INDEX} 000b 02020002 0000") + len(data).to_bytes(2)
    sized = len(public).to_bytes(2) + public
    ask(guest, command("0000012a", f"{_OWNER} {_AUTH} 0000 {sized.hex()}"))
    text = len(data).to_bytes(2) + data
    ask(guest, command("00000137", f"{_OWNER} {_INDEX} {_AUTH} {text.hex()} 0000"))


def recall(guest):
    answer = ask(guest, command("0000014e", f"{_OWNER} {_INDEX} {_AUTH} 0008 0000"))
    return answer[6:14].decode()

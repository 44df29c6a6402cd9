# SPDX-License-Identifier: Apache-2.0
"""Containers: their definitions, what they are refused, and which methods of a driver they have."""

import inspect
import signal
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("libvirt")

import libvirt

from common.errors import HypervisorError, NotSupported
from services.compute.virt.driver import Driver
from services.compute.virt.libvirt.domain_xml.container import (
    ContainerSpec,
    FileSystem,
    container_xml,
)
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.lxc.driver import ContainerDriver
from services.compute.virt.libvirt.lxc.guests import tell_init
from services.compute.virt.libvirt.lxc.hardware import choose_container_hardware
from services.compute.virt.libvirt.lxc.short_paths import ShortPaths
from tests.contracts.drivers.instances import make_instance, make_vif
from tests.unit.compute.test_domain_xml import make_guest

_HAD = frozenset(
    ("start", "stop", "health", "inventory", "build", "destroy", "power_on", "power_off", "reboot",
     "pause", "unpause", "revive", "place", "rebuild", "snapshot", "snapshot_path",
     "discard_snapshot", "attach_interface", "detach_interface", "set_aside", "take_back",
     "forget_aside", "receive", "power_state", "power_states", "console_output", "diagnostics",
     "cache_image", "clean")
)  # fmt: skip
# The answer of a driver whose guests have nothing of the kind: no agent, no migration.
_NOTHING = frozenset(("quiesce", "live_progress"))
# Undo what was refused, which is nothing.
_UNDO = frozenset(("unrescue", "detach_volume", "detach_share", "withdraw_live", "discard_live"))
_LACKED = frozenset(
    ("suspend", "resume", "rescue", "attach_share", "attach_volume", "swap_volume",
     "extend_volume", "snapshot_volume", "merge_volume_snapshot", "unquiesce", "trigger_crash_dump",
     "change_password", "offer_live", "prepare_live", "migrate_live", "welcome", "complete_live",
     "console", "power_host", "set_maintenance")
)  # fmt: skip


def define(instance=None, *, mounts=(), **values):
    instance = instance or make_guest(**values)
    hardware = choose_container_hardware(instance, Platform(virt_type="lxc"))
    root = FileSystem("/l/root", "/")
    spec = ContainerSpec(instance, hardware, (root, *mounts), instance.vifs)
    return ET.fromstring(container_xml(spec))


# --- which methods it has ---


def test_each_method_of_a_driver_is_one_that_containers_have_or_lack():
    methods = {
        name
        for name, _ in inspect.getmembers(Driver, inspect.isfunction)
        if not name.startswith("_")
    }

    assert methods == _HAD | _NOTHING | _UNDO | _LACKED


@pytest.mark.parametrize("name", sorted(_LACKED))
def test_what_containers_lack_is_the_interfaces_own_refusal(name):
    assert getattr(ContainerDriver, name) is getattr(Driver, name)


# --- the definition ---


def test_a_container_has_its_size_and_its_init():
    instance = make_guest(vcpus=2)
    domain = define(instance)

    assert domain.get("type") == "lxc"
    assert domain.findtext("uuid") == instance.uuid
    assert (domain.findtext("os/type"), domain.findtext("os/init")) == ("exe", "/sbin/init")
    assert (domain.findtext("memory"), domain.findtext("vcpu")) == ("32", "2")
    assert domain.find("devices/console").get("type") == "pty"


def test_cloud_init_sees_that_there_may_be_metadata():
    [product] = define().iterfind("os/initenv")

    assert (product.get("name"), product.text) == ("product_name", "OpenStack Nova")


@pytest.mark.parametrize(
    ("extra_specs", "period", "quota"),
    [
        ({}, "100000", "200000"),
        ({"quota:cpu_period": "50000"}, "50000", "100000"),
        ({"quota:cpu_quota": "30000"}, None, "30000"),
    ],
)
def test_cpus_are_time(extra_specs, period, quota):
    domain = define(extra_specs=extra_specs, vcpus=2)

    assert domain.findtext("cputune/period") == period
    assert domain.findtext("cputune/quota") == quota


def test_the_hosts_network_is_never_a_containers_own():
    assert define().find("features/privnet") is not None


def test_an_interface_joins_its_bridge_under_its_own_name():
    interface = define(make_instance(vifs=(make_vif(),))).find("devices/interface")

    assert interface.find("source").get("bridge") == "br-test"
    assert interface.find("target").get("dev") == "tap3f0d3d8e-6a"
    assert interface.find("mac").get("address") == "fa:16:3e:00:00:01"
    assert interface.find("model") is None


def test_file_systems_are_image_files_or_folders_the_root_first():
    config = FileSystem("/i/config", "/var/config", is_folder=True, read_only=True)
    root, folder = define(mounts=(config,)).iterfind("devices/filesystem")

    assert (root.get("type"), root.find("driver").get("type")) == ("file", "loop")
    assert (root.find("source").get("file"), root.find("target").get("dir")) == ("/l/root", "/")
    assert root.find("readonly") is None
    assert (folder.get("type"), folder.find("source").get("dir")) == ("mount", "/i/config")
    assert folder.find("readonly") is not None


# --- what it is refused ---


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"properties": {"hw_firmware_type": "uefi"}}, "UEFI firmware"),
        ({"extra_specs": {"hw:tpm_version": "2.0"}}, "TPM"),
        ({"extra_specs": {"hw:watchdog_action": "reset"}}, "watchdog"),
        ({"extra_specs": {"hw:mem_page_size": "large"}}, "memory pages"),
        ({"extra_specs": {"quota:disk_read_iops_sec": "10"}}, "disk's speed"),
        ({"properties": {"os_type": "windows"}}, "Windows"),
        ({"extra_specs": {"hw:numa_nodes": "2"}, "vcpus": 2}, "NUMA"),
    ],
)
def test_what_no_container_has_is_refused_by_name(values, what):
    with pytest.raises(NotSupported, match=f"A container has no .*{what}"):
        define(**values)


def test_models_of_devices_are_passed_over():
    define(properties={"hw_disk_bus": "scsi", "hw_vif_model": "e1000", "hw_video_model": "qxl"})


# --- short paths ---


def test_a_link_is_short_and_leads_to_where_the_disk_is_now(tmp_path):
    folder = tmp_path / "l"
    folder.mkdir()
    instance, other = make_instance().uuid, make_instance().uuid
    paths = ShortPaths(folder)

    paths.make(instance, 0, tmp_path / "old")
    link = paths.make(instance, 0, tmp_path / "disk")
    paths.make(other, 0, tmp_path / "theirs")

    (tmp_path / "disk").write_text("this")
    assert len(link) <= len(str(folder)) + 25
    assert open(link).read() == "this"  # noqa: PTH123, SIM115
    paths.remove(instance)
    paths.remove(instance)
    assert [path.readlink() for path in folder.iterdir()] == [tmp_path / "theirs"]


def test_a_folder_that_is_too_deep_for_containers_is_refused_in_words(tmp_path):
    deep = tmp_path / ("x" * 40)

    with pytest.raises(HypervisorError, match="state_path must be shorter"):
        ShortPaths(deep).check()

    assert not deep.exists()


# --- how init is told ---


class Init:
    """A domain whose first process notes its signals; `refusal` is libvirt's."""

    def __init__(self, refusal=None):
        self.signals = []
        self._refusal = refusal

    def shutdownFlags(self, _):  # noqa: N802
        raise libvirt.libvirtError("no pipe")

    def sendProcessSignal(self, process, signal):  # noqa: N802
        if self._refusal is not None:
            raise self._refusal
        self.signals.append((process, signal))


def test_init_hears_of_the_shutdown_without_a_pipe():
    domain = Init()

    tell_init(domain)

    assert domain.signals == [
        (1, signal.SIGRTMIN + 4),
        (1, signal.SIGTERM),
    ]

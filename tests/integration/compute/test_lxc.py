# SPDX-License-Identifier: Apache-2.0
"""Containers on a real libvirtd: the drivers' contract, and what is different about containers."""

import contextlib
import shutil
import subprocess
import uuid

import msgspec
import pytest

pytest.importorskip("libvirt")

from common.errors import DomainNotFound, HypervisorError, ImageUnacceptable, NotSupported
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleKind
from common.states import PowerState
from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.lxc.driver import ContainerDriver
from services.compute.virt.libvirt.settings import MigrationSettings, Settings
from tests.contracts.drivers.contract import DriverContract, wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance, make_vif
from tests.contracts.drivers.moves import ColdMoveContract, Site
from tests.integration.compute import containers
from tests.integration.compute.volumes import make_volumes
from tests.integration.leaks import left, traces

pytestmark = pytest.mark.integration

BIGGER = msgspec.structs.replace(TINY, flavorid="2", name="bigger", root_gib=2, memory_mib=64)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    for program in ("busybox", "mke2fs", "resize2fs", "debugfs", "partx", "blkid"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return containers.make_root(tmp_path_factory.mktemp("container"))


@pytest.fixture(scope="session")
def image_file(root, tmp_path_factory):
    return containers.make_image(root, tmp_path_factory.mktemp("image") / "image")


@pytest.fixture
def images(image_file):
    """The image service; tests add images to it."""
    return containers.Images({IMAGE.id: image_file})


@pytest.fixture
def make_containers(libvirt_host, images, root):
    """Makes drivers of a private host; keyword arguments are Settings' fields."""
    made = []

    def make(host=libvirt_host, **settings):
        state = host.folder / "containers"
        driver = ContainerDriver(
            Settings(
                **{
                    "host": host.name,
                    "connection_uri": host.containers_uri,
                    "state_folder": state,
                    "instances": state / "instances",
                    "virt_type": "lxc",
                    "soft_reboot_timeout_s": 10,
                    "bridge_wait_s": 1,
                    **settings,
                }
            ),
            ImageCache(state / "images", images, most_bytes=GIB),
            make_volumes(state, host.name),
        )
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.stop()


@pytest.fixture
def driver(make_containers, changes):
    driver = make_containers()
    driver.start(changes.append)
    return driver


@pytest.fixture
def changes():
    return []


@pytest.fixture
def build(driver):
    """Builds instances, of make_instance's arguments; they are gone after the test."""
    built = []

    def build(**values):
        instance = make_instance(**values)
        built.append(instance)
        driver.build(instance)
        return instance

    yield build
    for instance in built:
        driver.destroy(instance)


@pytest.fixture
def new_image(images, tmp_path, libvirt_host):
    """Adds a file to the image service; gives the image."""

    def add(path, disk_format="raw"):
        image = msgspec.structs.replace(IMAGE, id=str(uuid.uuid4()), disk_format=disk_format)
        images.files[image.id] = path
        return image

    return add


def said(driver, instance):
    return driver.console_output(instance.uuid, tail_bytes=1 << 20).replace("\r\n", "\n")


def wait_for(driver, instance, text, times=1):
    wait_until(lambda: said(driver, instance).count(text) >= times, within_s=20)


def first_process(libvirt_host, instance):
    """The container's first process, as its host sees it: libvirt's own is its parent."""
    name = f"kilonova-{instance.uuid}"
    parent = libvirt_host.run("virsh", "-c", "lxc:///", "domid", name).strip()
    return libvirt_host.run("cat", f"/proc/{parent}/task/{parent}/children").split()[0]


class TestContainerDriver(DriverContract):
    lacking = frozenset(("suspend", "rescue", "crash_dump", "consoles", "disk_counters"))
    held = PowerState.RUNNING

    @pytest.fixture
    def driver(self, make_containers, changes):
        driver = make_containers()
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def another_run(self, make_containers):
        driver = make_containers()
        driver.start(lambda _: None)
        return driver

    @pytest.fixture
    def vif(self, libvirt_host):
        libvirt_host.add_bridge("br-test")
        yield make_vif()
        libvirt_host.remove_bridge("br-test")


class TestContainersMove(ColdMoveContract):
    """Between two hosts, by libvirt's streams."""

    @pytest.fixture
    def sites(self, hosts, make_containers):
        made = [
            Site(
                host.name,
                make_containers(
                    host, migration=MigrationSettings(uri="lxc+tcp://{host}/system", tls=False)
                ),
            )
            for host in hosts
        ]
        for site in made:
            site.driver.start(lambda _: None)
        return made

    @pytest.fixture
    def source(self, sites):
        return sites[0]

    @pytest.fixture
    def dest(self, sites):
        return sites[1]


# --- what it is ---


def test_the_host_says_that_it_runs_containers(driver):
    found = driver.inventory()

    assert found.hypervisor_type == "LXC"
    assert ("x86_64", "lxc", "exe") in found.supported
    assert {hypervisor for _, hypervisor, _ in found.supported} == {"lxc"}


def test_a_container_boots_from_its_image(driver, build):
    instance = build()

    wait_for(driver, instance, "idle\n")
    assert f"{containers.UP}\n" in said(driver, instance)
    # Grown to the flavor's gibibyte.
    size_mib = int(said(driver, instance).split("size ")[1].split()[0])
    assert 900 < size_mib <= 1024


@pytest.mark.parametrize("shape", ["qcow2", "partitioned"])
def test_an_image_may_have_another_format_or_partitions(
    driver, build, new_image, image_file, tmp_path, shape
):
    make = containers.as_qcow2 if shape == "qcow2" else containers.partitioned
    image = new_image(make(image_file, tmp_path / "disk"), "qcow2" if shape == "qcow2" else "raw")

    instance = build(image=image)

    wait_for(driver, instance, "idle\n")


def test_a_disk_is_as_large_as_its_image_where_the_flavor_leaves_it_so(driver, build):
    instance = build(flavor=msgspec.structs.replace(TINY, root_gib=0))

    wait_for(driver, instance, "idle\n")
    assert int(said(driver, instance).split("size ")[1].split()[0]) < 16


def test_flavor_and_image_bring_their_further_file_systems(driver, build):
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1, swap_mib=16)

    instance = build(flavor=flavor, config_drive=True, admin_password="a secret")

    wait_for(driver, instance, "idle\n")
    assert "has config\n" in said(driver, instance)
    assert int(said(driver, instance).split("ephemeral ")[1].split()[0]) > 900


def test_a_container_has_what_its_flavor_gives_and_no_more(driver, build, libvirt_host):
    instance = build(flavor=msgspec.structs.replace(TINY, memory_mib=48, vcpus=2))

    def limit(controller, name):
        process = first_process(libvirt_host, instance)
        # As the host's own first process sees it, below whose group all of its groups are.
        groups = libvirt_host.run("nsenter", "-C", "-t", "1", "cat", f"/proc/{process}/cgroup")
        [group] = [line.split(":")[2] for line in groups.split() if f":{controller}:" in line]
        return int(libvirt_host.run("cat", f"/sys/fs/cgroup/{controller}{group}/{name}"))

    assert limit("memory", "memory.limit_in_bytes") == 48 << 20
    period = limit("cpu", "cpu.cfs_period_us")
    assert limit("cpu", "cpu.cfs_quota_us") == 2 * period


def test_a_container_without_a_port_has_no_network_of_the_host(driver, build, inside):
    instance = build()

    wait_for(driver, instance, "idle\n")
    devices = inside(instance, "ls", "/sys/class/net").split()
    assert devices == ["lo"]


# --- its network ---


@pytest.fixture
def network(libvirt_host, tmp_path):
    """A bridge with DHCP and, where guests look for it, metadata."""
    libvirt_host.add_bridge("br-test")
    for address in ("10.0.0.1/24", "169.254.169.254/32"):
        libvirt_host.run("ip", "address", "add", address, "dev", "br-test")
    page = tmp_path / "openstack/latest/meta_data.json"
    page.parent.mkdir(parents=True)
    page.write_text('{"hostname": "web"}')
    with contextlib.ExitStack() as stack:
        stack.callback(libvirt_host.remove_bridge, "br-test")
        for command in (
            ("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--bind-interfaces",
             "--interface=br-test", "--except-interface=lo", "--port=0", "--pid-file",
             "--dhcp-range=10.0.0.0,static", "--dhcp-leasefile=/dev/null", "--leasefile-ro",
             f"--dhcp-host={make_vif().mac},10.0.0.5"),
            ("busybox", "httpd", "-f", "-p", "169.254.169.254:80", "-h", str(tmp_path)),
        ):  # fmt: skip
            stack.enter_context(libvirt_host.background(*command))
        yield


def test_a_container_gets_its_address_and_its_metadata(driver, build, network, libvirt_host):
    vif = make_vif()
    instance = build(vifs=(vif,))

    wait_for(driver, instance, "idle\n")
    assert "address 10.0.0.5\n" in said(driver, instance)
    assert 'metadata {"hostname": "web"}\n' in said(driver, instance)
    assert vif.device in libvirt_host.run("ip", "-o", "link", "show", "master", "br-test")
    [nic] = driver.diagnostics(instance.uuid).nics
    assert nic.mac == vif.mac
    assert nic.rx_packets > 0


def test_an_interface_comes_and_goes_while_the_container_runs(driver, build, network, inside):
    instance, vif = build(), make_vif()
    wait_for(driver, instance, "idle\n")

    driver.attach_interface(instance, vif)
    # Its name is libvirt's choice until the next start.
    [device] = set(inside(instance, "ls", "/sys/class/net").split()) - {"lo"}
    address = inside(instance, "cat", f"/sys/class/net/{device}/address")
    assert address.strip() == vif.mac
    driver.detach_interface(instance, vif)
    assert inside(instance, "ls", "/sys/class/net").split() == ["lo"]

    driver.reboot(msgspec.structs.replace(instance, vifs=(vif,)), hard=True)
    wait_for(driver, instance, "idle\n", times=2)
    assert inside(instance, "ls", "/sys/class/net").split() == ["eth0", "lo"]
    driver.detach_interface(instance, vif)
    assert inside(instance, "ls", "/sys/class/net").split() == ["lo"]


def test_a_missing_bridge_is_named(driver):
    instance = make_instance(vifs=(make_vif(bridge="br-none"),))

    with pytest.raises(HypervisorError, match="br-none"):
        driver.build(instance)

    driver.destroy(instance)


# --- its life ---


@pytest.fixture
def inside(libvirt_host):
    """Runs a command in a container; its output."""

    def run(instance, *command):
        enter = ("nsenter", "-a", "-r", "-w", "-t", first_process(libvirt_host, instance))
        return libvirt_host.run(*enter, "--", f"/bin/{command[0]}", *command[1:])

    return run


def test_a_container_ends_when_it_is_told_to(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    assert driver.power_off(instance, grace_s=30) is PowerState.SHUTDOWN

    assert "going down\n" in said(driver, instance)


def test_an_init_that_listens_to_systemds_signal_alone_ends_by_it(
    driver, build, new_image, tmp_path
):
    then = "trap 'echo powering off; exit 0' 38\ntrap '' TERM\n"  # glibc's SIGRTMIN+4
    root = containers.make_root(tmp_path, then=then)
    instance = build(image=new_image(containers.make_image(root, tmp_path / "image")))
    wait_for(driver, instance, "idle\n")

    assert driver.power_off(instance, grace_s=30) is PowerState.SHUTDOWN

    assert "powering off\n" in said(driver, instance)


def test_a_soft_reboot_lets_it_end_and_keeps_its_disk(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    driver.reboot(instance, hard=False)

    wait_for(driver, instance, "idle\n", times=2)
    assert said(driver, instance).count("going down\n") == 1
    assert "boot boot\n" in said(driver, instance)


def test_a_container_that_reboots_itself_goes_on_with_its_console(driver, build, inside, changes):
    instance = build()
    wait_for(driver, instance, "idle\n")
    changes.clear()

    # The process that asks for it is gone with all the others.
    with contextlib.suppress(subprocess.CalledProcessError):
        inside(instance, "busybox", "reboot", "-f")

    wait_for(driver, instance, "idle\n", times=2)
    assert driver.power_state(instance.uuid) is PowerState.RUNNING
    assert instance.uuid in changes


def test_an_end_behind_our_back_is_told(driver, build, inside, changes):
    instance = build()
    wait_for(driver, instance, "idle\n")
    changes.clear()

    inside(instance, "kill", "-TERM", "1")

    wait_until(lambda: instance.uuid in changes)
    wait_until(lambda: driver.power_state(instance.uuid) is PowerState.SHUTDOWN)
    assert driver.power_on(instance) is PowerState.RUNNING


def test_containers_and_their_disks_outlive_the_host(driver, build, libvirt_host):
    instance = build(config_drive=True)
    wait_for(driver, instance, "idle\n")

    libvirt_host.crash()
    libvirt_host.start()

    wait_until(lambda: driver.health() is None or driver.power_states() is not None, within_s=30)
    assert driver.power_on(instance) is PowerState.RUNNING
    wait_for(driver, instance, "idle\n", times=2)
    assert "boot boot\n" in said(driver, instance)


def test_another_run_of_the_daemon_goes_on_with_the_console(driver, make_containers, build, inside):
    instance = build()
    wait_for(driver, instance, "idle\n")
    driver.stop()

    another = make_containers()
    another.start(lambda _: None)
    inside(instance, "sh", "-c", "echo still here > /dev/console")

    wait_for(another, instance, "still here\n")
    another.destroy(instance)


def test_a_console_that_is_flooded_stops_nobody(driver, build, inside):
    flooded, other = build(), build()
    for instance in (flooded, other):
        wait_for(driver, instance, "idle\n")
    inside(flooded, "sh", "-c", "yes flood > /dev/console & sleep 2; kill $!")

    inside(other, "sh", "-c", "echo still here > /dev/console")
    wait_for(driver, other, "still here\n")

    inside(flooded, "sh", "-c", "echo; echo after the flood > /dev/console")
    wait_for(driver, flooded, "after the flood\n")
    folder = driver._settings.instances / flooded.uuid  # noqa: SLF001
    assert sum(log.stat().st_size for log in folder.glob("console.log*")) < 3 << 20


# --- its disk ---


def test_a_snapshot_boots_with_what_the_container_had_written(driver, build, inside, new_image):
    instance = build()
    wait_for(driver, instance, "idle\n")
    inside(instance, "sh", "-c", "echo 'echo I remember' > /then; chmod 755 /then")

    driver.snapshot(instance, "an-image")

    inside(instance, "rm", "/then")
    other = build(image=new_image(driver.snapshot_path("an-image"), "qcow2"))
    wait_for(driver, other, "I remember\n")
    driver.discard_snapshot("an-image")


def test_a_paused_container_stays_so_over_its_snapshot(driver, build):
    instance = build()
    driver.pause(instance)

    state = driver.snapshot(msgspec.structs.replace(instance, vm_state="paused"), "an-image")

    assert state is PowerState.PAUSED
    driver.discard_snapshot("an-image")
    driver.pause(instance)  # as a killed daemon leaves one
    assert driver.snapshot(instance, "an-image") is PowerState.RUNNING
    driver.discard_snapshot("an-image")


def test_a_rebuilt_container_has_a_fresh_disk(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    driver.rebuild(instance)

    wait_for(driver, instance, "idle\n")
    assert "boot \n" in said(driver, instance)


def test_a_container_grows_where_it_is_and_shrinks_back(driver, build, libvirt_host):
    name = libvirt_host.name
    instance = build(host=name)
    wait_for(driver, instance, "idle\n")
    bigger = msgspec.structs.replace(instance, flavor=BIGGER)

    driver.set_aside(instance, grace_s=10)
    driver.receive(bigger, from_host=name, start=True)
    wait_for(driver, bigger, "idle\n")
    assert int(said(driver, bigger).split("size ")[-1].split()[0]) > 1900
    assert driver.take_back(instance, start=True) is PowerState.RUNNING
    wait_for(driver, instance, "idle\n", times=2)
    assert int(said(driver, instance).split("size ")[-1].split()[0]) <= 1024

    driver.set_aside(instance, grace_s=10)
    driver.receive(bigger, from_host=name, start=False)
    driver.forget_aside(instance)
    assert driver.power_state(instance.uuid) is PowerState.SHUTDOWN


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes(1 << 20), "needs a root file system"),
        (bytes(510) + b"\x55\xaa" + bytes(1 << 20), "needs a root file system"),
    ],
    ids=("nothing", "no-partition"),
)
def test_an_image_without_a_file_system_is_refused(driver, new_image, tmp_path, content, reason):
    path = tmp_path / "image"
    path.write_bytes(content)
    instance = make_instance(image=new_image(path))

    with pytest.raises(ImageUnacceptable, match=reason):
        driver.build(instance)

    driver.destroy(instance)


def test_a_damaged_file_system_is_refused_in_words(driver, new_image, image_file, tmp_path):
    path = tmp_path / "image"
    content = bytearray(image_file.read_bytes())
    content[4096:262144] = bytes(range(256)) * 1008
    path.write_bytes(content)
    instance = make_instance(image=new_image(path))

    with pytest.raises(ImageUnacceptable, match="file system is damaged"):
        driver.build(instance)

    driver.destroy(instance)


@pytest.mark.parametrize("place", ["dev", "mnt", "var"])
def test_a_link_where_the_host_would_mount_is_not_followed(
    driver, new_image, root, tmp_path, libvirt_host, place
):
    shutil.copytree(root, tmp_path / "root", symlinks=True)
    shutil.rmtree(tmp_path / "root" / place)
    (tmp_path / "root" / place).symlink_to("/.oldroot/tmp")
    image = new_image(containers.make_image(tmp_path / "root", tmp_path / "image"))
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1)
    instance = make_instance(image=image, flavor=flavor, config_drive=True)

    with pytest.raises(HypervisorError, match=f"symbolic link at /{place}, where the host"):
        driver.build(instance)

    driver.destroy(instance)


def test_nothing_of_a_container_is_left(driver, network, libvirt_host, changes):
    state = libvirt_host.folder / "containers"
    folders = (state / "instances", state / "l")
    before = traces([libvirt_host], folders)
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1)
    instance = make_instance(vifs=(make_vif(),), flavor=flavor, config_drive=True)

    driver.build(instance)
    driver.reboot(instance, hard=True)
    driver.pause(instance)
    driver.unpause(instance)
    driver.rebuild(instance)
    wait_for(driver, instance, "idle\n")
    # Its file systems are mounted in the container alone.
    mounts = left(before, traces([libvirt_host], folders)).get("mounts")
    driver.destroy(instance)

    assert mounts is None
    wait_until(lambda: left(before, traces([libvirt_host], folders)) == {})


# --- what it has not ---


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

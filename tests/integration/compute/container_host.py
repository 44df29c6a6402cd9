# SPDX-License-Identifier: Apache-2.0
"""A host that runs containers on a libvirtd of its own, and words with its containers."""

import contextlib
import shutil
import uuid

import msgspec
import pytest

pytest.importorskip("libvirt")

from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.lxc.driver import ContainerDriver
from services.compute.virt.libvirt.settings import Settings
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, make_instance, make_vif
from tests.integration.compute import containers
from tests.integration.compute.volumes import make_volumes

__all__ = [
    "build", "changes", "driver", "image_file", "images", "inside",
    "make_containers", "network", "new_image", "root",
]  # fmt: skip


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


@pytest.fixture
def inside(libvirt_host):
    """Runs a command in a container; its output."""

    def run(instance, *command):
        enter = ("nsenter", "-a", "-r", "-w", "-t", first_process(libvirt_host, instance))
        return libvirt_host.run(*enter, "--", f"/bin/{command[0]}", *command[1:])

    return run


def said(driver, instance):
    return driver.console_output(instance.uuid, tail_bytes=1 << 20).replace("\r\n", "\n")


def wait_for(driver, instance, text, times=1):
    wait_until(lambda: said(driver, instance).count(text) >= times, within_s=20)


def first_process(libvirt_host, instance):
    """The container's first process, as its host sees it: libvirt's own is its parent."""
    name = f"kilonova-{instance.uuid}"
    parent = libvirt_host.run("virsh", "-c", "lxc:///", "domid", name).strip()
    return libvirt_host.run("cat", f"/proc/{parent}/task/{parent}/children").split()[0]

# SPDX-License-Identifier: Apache-2.0
"""Two compute hosts, each with a libvirtd of its own, between which guests move."""

import contextlib
import os
import shutil

import pytest

pytest.importorskip("libvirt")

from common.errors import ImageNotFound
from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver
from services.compute.virt.libvirt.settings import MigrationSettings, Settings
from tests.contracts.drivers.instances import IMAGE
from tests.contracts.drivers.moves import Site
from tests.integration import leaks
from tests.integration.compute import counting_guest
from tests.integration.compute.volumes import make_volumes
from tests.integration.libvirt_host import Fabric, LibvirtHost

__all__ = ["dest", "make_sites", "sites", "source"]  # conftest.py has the hosts, once a run


class Images:
    """An image service with one image, until it is `gone`."""

    def __init__(self):
        self.gone = False

    def download(self, image_id):
        if self.gone or image_id != IMAGE.id:
            raise ImageNotFound(image=image_id)
        yield counting_guest.image()


class RealSite(Site):
    """A host with its libvirtd, and the files of its guests."""

    def __init__(self, host, shared=None, source=None, **settings):
        self.host = host
        state = host.folder / "guests"
        self.instances = (shared or state) / "instances"
        self.source = source or Images()
        self.images = ImageCache((shared or state) / "images", self.source, most_bytes=GIB)
        migration = {"uri": "qemu+tcp://{host}/system", "tls": False}
        made = Settings(
            host=host.name,
            connection_uri=host.uri,
            state_folder=state,
            instances=self.instances,
            virt_type="qemu",
            bridge_wait_s=1,
            **{
                "platform": Platform(disk_cache="unsafe"),
                **settings,
                "migration": MigrationSettings(**migration | settings.get("migration", {})),
            },
        )
        super().__init__(
            host.name, LibvirtDriver(made, self.images, make_volumes(state, host.name))
        )
        self.driver.start(lambda _: None)

    def console(self, instance):
        return self.driver.console_output(instance.uuid, tail_bytes=20000)

    def virsh(self, *command):
        return self.host.run("virsh", *command)

    def left(self, instance):
        """Names of what this host has of an instance: files, guests and storage pools."""
        files = [path.name for path in self.instances.glob(f"{instance.uuid}*")]
        known = self.virsh("list", "--all", "--name") + self.virsh("pool-list", "--all", "--name")
        return [*files, *(name for name in known.split() if instance.uuid in name)]


@pytest.fixture(scope="session")
def hosts():
    """Two libvirtds on one network, for all tests of a run."""
    if os.getuid() != 0:
        pytest.skip("a private libvirtd needs root")
    for program in ("libvirtd", "tini", "qemu-system-x86_64"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with contextlib.ExitStack() as stack:
        fabric = Fabric()
        stack.callback(fabric.stop)
        fabric.start()
        made = [LibvirtHost(fabric=fabric) for _ in range(2)]
        for host in made:
            stack.callback(host.stop)
            host.start()
        with leaks.nothing_of(*made):
            yield made


@pytest.fixture
def make_sites(hosts, tmp_path_factory):
    """Makes the two hosts' drivers; keyword arguments are Settings' fields, or `shared`; `each` has
    those in which the two differ.
    """
    made = []

    def make(each=({}, {}), **settings):
        sites = [RealSite(host, **settings | own) for host, own in zip(hosts, each, strict=True)]
        made.extend(sites)
        return sites

    yield make
    for site in made:
        site.driver.stop()


@pytest.fixture
def sites(make_sites):
    return make_sites()


@pytest.fixture
def source(sites):
    return sites[0]


@pytest.fixture
def dest(sites):
    return sites[1]

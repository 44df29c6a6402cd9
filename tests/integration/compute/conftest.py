# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the libvirt tests: private libvirtds, and an image that boots in no time."""

import pytest

pytest.importorskip("libvirt")

from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver
from services.compute.virt.libvirt.settings import Settings
from tests.contracts.drivers.instances import IMAGE
from tests.integration.compute.sites import hosts
from tests.integration.compute.volumes import make_volumes
from tests.integration.libvirt_host import libvirt_host

__all__ = ["hosts", "libvirt_host"]


def boot_sector(message):
    """A guest: real-mode code that writes `message` to COM1 and halts."""
    write = b"".join(b"\xb0" + bytes((byte,)) + b"\xee" for byte in message)
    code = b"\xfa\xba\xf8\x03" + write + b"\xf4\xeb\xfd"
    return code.ljust(510, b"\0") + b"\x55\xaa"


PLATFORM = Platform(
    disk_cache="unsafe", spice_listen="127.0.0.1", serial_listen="127.0.0.1"
)  # fmt: skip
# A guest of 512 bytes: it says so on its serial port and halts.
GREETING = b"tiny guest is up\r\n"
IMAGE_BYTES = boot_sector(GREETING).ljust(1 << 20, b"\0")


class OneImage:
    """An image service with one image; counts its downloads."""

    def __init__(self):
        self.downloads = 0

    def download(self, image_id):
        assert image_id == IMAGE.id
        self.downloads += 1
        yield IMAGE_BYTES


@pytest.fixture
def source():
    return OneImage()


@pytest.fixture
def make_driver(libvirt_host, source):
    """Makes drivers of the private host; keyword arguments are Settings' fields."""
    made = []

    def make(**settings):
        state = libvirt_host.folder / "guests"
        images = ImageCache(state / "images", source, most_bytes=GIB)
        driver = LibvirtDriver(
            Settings(
                **{
                    "host": libvirt_host.name,
                    "connection_uri": libvirt_host.uri,
                    "state_folder": state,
                    "instances": state / "instances",
                    "virt_type": "qemu",
                    "platform": PLATFORM,
                    "soft_reboot_timeout_s": 1,
                    "bridge_wait_s": 1,
                    **settings,
                }
            ),
            images,
            make_volumes(state, libvirt_host.name),
        )
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.stop()

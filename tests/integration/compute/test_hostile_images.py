# SPDX-License-Identifier: Apache-2.0
"""A hostile image gets no guest, and nothing of the attempt is left on the host."""

import msgspec
import pytest

from common.errors import ImageUnacceptable
from tests.contracts.drivers.instances import IMAGE, make_instance
from tests.unit.compute.test_hostile_images import FileSource, backed, bomb, cut_off, qcow2_in_a_cd

pytestmark = pytest.mark.integration


@pytest.fixture
def source(tmp_path):
    return FileSource(tmp_path / "image")


@pytest.mark.parametrize("make", [backed, bomb("qcow2"), cut_off, qcow2_in_a_cd])
def test_a_hostile_image_gets_no_guest(make_driver, libvirt_host, tmp_path, make):
    declared, reason = make(tmp_path / "image")
    driver = make_driver()
    driver.start(lambda _: None)
    image = msgspec.structs.replace(IMAGE, id=f"hostile-{make.__name__}", disk_format=declared)
    instance = make_instance(image=image)

    with pytest.raises(ImageUnacceptable, match=reason):
        driver.build(instance)
    driver.destroy(instance)

    assert not (libvirt_host.folder / "guests" / "instances" / instance.uuid).exists()
    assert instance.uuid not in libvirt_host.run("virsh", "list", "--all", "--name")

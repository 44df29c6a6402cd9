# SPDX-License-Identifier: Apache-2.0
"""What hosts tell one another about a guest that moves, and what is made of it."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from common.errors import HypervisorError
from services.compute.images import CachedImage
from services.compute.virt.libvirt.domain_xml.arrival import Arrival, arrival_xml, copied_disks
from services.compute.virt.libvirt.landings import Landing, Landings
from services.compute.virt.libvirt.offers import Offer, read_offer
from services.compute.virt.libvirt.peers import Peers

# As libvirt writes it, without what no host changes.
GUEST = """
<domain type='kvm' id='4'>
  <vcpu placement='static' cpuset='0-1'>3</vcpu>
  <cputune>
    <vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/><emulatorpin cpuset='4-5'/>
  </cputune>
  <os><type>hvm</type><nvram>/here/uuid/nvram.fd</nvram></os>
  <devices>
    <disk device='disk'>
      <source file='/here/uuid/disk'/>
      <backingStore type='file'><source file='/cache/image.raw'/></backingStore>
      <target dev='vda'/>
    </disk>
    <disk device='disk'><source file='/here/uuid-not-ours/disk'/><target dev='vdb'/></disk>
    <disk device='disk'><source dev='/dev/sdx'/><target dev='vdc'/></disk>
    <disk device='cdrom'>
      <source file='/here/uuid/disk.config'/><target dev='hda'/><readonly/>
    </disk>
    <serial type='tcp'>
      <source mode='bind' host='127.0.0.1' service='10001' tls='no'/>
      <log file='/here/uuid/console.log' append='on'/>
    </serial>
    <console type='tcp'><source mode='bind' host='127.0.0.1' service='10001' tls='no'/></console>
    <graphics type='vnc' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics>
  </devices>
</domain>"""


def arrived(**differs):
    return ET.fromstring(
        arrival_xml(GUEST, Arrival(folder=("/here/uuid", "/there/uuid"), **differs))
    )


def test_paths_of_the_instance_are_those_of_the_new_host_and_others_stay():
    domain = arrived(files={"/cache/image.raw": "/other/cache/image.raw"})

    files = [source.get("file") for source in domain.iterfind("devices/disk/source")]
    assert files == [
        "/there/uuid/disk",
        "/here/uuid-not-ours/disk",
        None,
        "/there/uuid/disk.config",
    ]
    below = domain.find("devices/disk/backingStore/source")
    assert below.get("file") == "/other/cache/image.raw"
    assert domain.find("devices/serial/log").get("file") == "/there/uuid/console.log"
    assert domain.findtext("os/nvram") == "/there/uuid/nvram.fd"


def test_consoles_and_host_cpus_are_those_of_the_new_host():
    domain = arrived(screens={"vnc": "10.0.0.2"}, serial=("10.0.0.2", 10007), pins={0: 2, 1: 3})

    graphics = domain.find("devices/graphics")
    assert graphics.get("listen") == graphics.find("listen").get("address") == "10.0.0.2"
    for kind in ("serial", "console"):
        source = domain.find(f"devices/{kind}/source")
        assert (source.get("host"), source.get("service")) == ("10.0.0.2", "10007")
    assert [pin.get("cpuset") for pin in domain.iterfind("cputune/vcpupin")] == ["2", "3"]
    assert domain.find("cputune/emulatorpin").get("cpuset") == "2,3"


@pytest.mark.parametrize(("floating", "expected"), [((6, 7), "6,7"), ((), None)])
def test_cpus_that_are_not_pinned_run_where_the_new_host_has_it(floating, expected):
    domain = arrived(pins={0: 2, 1: 3}, floating=floating)

    assert domain.find("vcpu").get("cpuset") == expected


def test_only_what_the_guest_writes_into_its_own_folder_is_copied():
    assert copied_disks(GUEST, "/here/uuid") == ["vda"]


@pytest.mark.parametrize(
    "image_id", ["../../etc/passwd", "", "a" * 65, "a b", "a\n"], ids=("path", "empty", "long",
    "space", "line"),
)  # fmt: skip
def test_an_offer_with_an_image_that_is_no_file_name_is_refused(image_id):
    image = CachedImage(image_id=image_id, file_name="x", format="raw", virtual_size=1)
    offer = Offer(host="one", base=image)

    with pytest.raises(HypervisorError, match="strange image"):
        read_offer(msgspec.json.encode(offer))


def test_what_is_no_offer_is_refused():
    with pytest.raises(HypervisorError, match="cannot be read"):
        read_offer(b'{"host": 1}')


def test_an_offer_is_read_as_it_was_written():
    image = CachedImage(image_id="5d5a-x", file_name="x", format="qcow2", virtual_size=1)
    offer = Offer(host="one", files=("disk",), sizes={"disk": 5}, base=image, cpu="<cpu/>")

    assert read_offer(msgspec.json.encode(offer)) == offer


def test_cpus_are_kept_for_guests_that_shall_come_until_they_have(tmp_path):
    landings = Landings(tmp_path / "landings")
    assert landings.instances() == []

    landings.put("one", Landing(from_host="h", shares_disks=False, pins=((0, 4), (1, 5))))
    landings.put("two", Landing(from_host="h", shares_disks=True, pins=((0, 6),)))

    assert landings.taken_cpus(but_of="one") == {6}
    assert landings.taken_cpus(but_of="three") == {4, 5, 6}
    landings.remove("two")
    landings.remove("two")
    assert Landings(tmp_path / "landings").instances() == ["one"]
    assert landings.get("two") is None


def test_a_hosts_name_cannot_change_what_the_uri_says():
    peers = Peers("qemu+tls://{host}/system?pkipath=/pki")

    assert peers.uri("one") == "qemu+tls://one/system?pkipath=/pki"
    assert peers.uri("a/b?c=d") == "qemu+tls://a%2Fb%3Fc%3Dd/system?pkipath=/pki"

# SPDX-License-Identifier: Apache-2.0
"""Where a guest is on its host, out of its definition and the host's capabilities."""

import pytest

from common.objects.guest_place import GuestPlace
from services.compute.virt.libvirt.place import place_of

TWO_NODES = """<capabilities><host><topology><cells>
  <cell id='0'><cpus><cpu id='0'/><cpu id='1'/></cpus></cell>
  <cell id='1'><cpus><cpu id='2'/><cpu id='3'/></cpus></cell>
</cells></topology></host></capabilities>"""
ONE_NODE = TWO_NODES.replace("</cell>\n  <cell id='1'>", "").replace("</cpus><cpus>", "")


def guest(*pins):
    """Of two nodes with two CPUs each, the first of which are pinned to these."""
    pinned = "".join(f"<vcpupin vcpu='{n}' cpuset='{pin}'/>" for n, pin in enumerate(pins))
    return (
        f"<domain><cputune>{pinned}</cputune><cpu><numa>"
        "<cell id='0' cpus='0-1'/><cell id='1' cpus='2,3'/></numa></cpu></domain>"
    )


@pytest.mark.parametrize(
    ("definition", "capabilities", "pins", "nodes"),
    [
        (guest(2, 3, 0, 1), TWO_NODES, {0: 2, 1: 3, 2: 0, 3: 1}, {0: 1, 1: 0}),
        (guest(0, 2), TWO_NODES, {0: 0, 1: 2}, {}),
        (guest("0-3"), TWO_NODES, {}, {}),
        (guest(), TWO_NODES, {}, {}),
        (guest(), ONE_NODE, {}, {0: 0, 1: 0}),
        ("<domain/>", ONE_NODE, {}, {}),
    ],
    ids=["pinned", "across nodes", "to several", "floating", "one node", "no nodes"],
)
def test_a_guest_is_where_it_is_bound_to(definition, capabilities, pins, nodes):
    assert place_of(definition, capabilities) == GuestPlace(pins=pins, nodes=nodes)

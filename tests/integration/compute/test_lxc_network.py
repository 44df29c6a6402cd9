# SPDX-License-Identifier: Apache-2.0
"""Interfaces of containers on a real libvirtd."""

import msgspec
import pytest

pytest.importorskip("libvirt")

from common.errors import HypervisorError
from tests.contracts.drivers.instances import make_instance, make_vif
from tests.integration.compute.container_host import *  # noqa: F403
from tests.integration.compute.container_host import said, wait_for

pytestmark = pytest.mark.integration


def test_a_container_without_a_port_has_no_network_of_the_host(driver, build, inside):
    instance = build()

    wait_for(driver, instance, "idle\n")
    devices = inside(instance, "ls", "/sys/class/net").split()
    assert devices == ["lo"]


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

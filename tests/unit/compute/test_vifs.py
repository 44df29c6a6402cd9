# SPDX-License-Identifier: Apache-2.0
"""A guest waits a little for its bridges, and says which one is missing."""

import pytest

from common.errors import HypervisorError
from services.compute import vifs
from services.compute.virt.driver import never_cancelled
from tests.contracts.drivers.instances import make_vif

# As libvirt says it.
MISSING = "Cannot get interface MTU on 'br-test': No such device"


def starting(failures, said=MISSING):
    """Starts after so many failures."""

    def start():
        if failures:
            failures.pop()
            raise HypervisorError(reason=said)

    return start


def test_a_bridge_that_comes_late_is_waited_for():
    failures = [1]

    vifs.start_when_plugged(
        starting(failures), (make_vif(),), wait_s=30, checkpoint=never_cancelled
    )

    assert failures == []


def test_a_bridge_that_never_comes_is_named():
    with pytest.raises(HypervisorError, match="bridge br-test of port 3f0d3d8e"):
        vifs.start_when_plugged(
            starting([1, 1]), (make_vif(),), wait_s=0, checkpoint=never_cancelled
        )


def test_another_failure_is_not_waited_out():
    with pytest.raises(HypervisorError, match="no space"):
        vifs.start_when_plugged(
            starting([1], "no space"), (make_vif(),), wait_s=30, checkpoint=never_cancelled
        )


@pytest.mark.parametrize(
    ("vif", "reason"),
    [
        (make_vif(vif_type="binding_failed"), "has not bound port"),
        (make_vif(bridge=None, vif_type="ovs"), "of type ovs, without a bridge"),
    ],
)
def test_a_port_that_is_not_bound_to_a_bridge_is_refused(vif, reason):
    with pytest.raises(HypervisorError, match=reason):
        vifs.check_bound((vif,))

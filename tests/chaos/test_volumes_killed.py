# SPDX-License-Identifier: Apache-2.0
"""A server lives with volumes, from its boot to its end, while what carries it out is killed."""

import contextlib

import pytest

from common.errors import InstanceNotFound, InvalidVolume, VolumeNotAttached
from common.ids import new_uuid
from common.objects.block_device import BlockDeviceMapping
from common.objects.network import RequestedNetwork
from common.objects.new_server import NewServers
from common.objects.volume import RequestedVolume
from common.rpc.conductor.volumes import Volumes
from tests.functional.rabbitmq import wait_until
from tests.functional.states.books import Books
from tests.functional.states.storage import Storage

pytestmark = [pytest.mark.functional, pytest.mark.chaos]

# Where a death is of another kind than at the steps of a server without volumes; what is between
# them has tests/functional/journal/test_every_flow.py.
BOOT = [
    "boot:reserve_volumes:called", "boot:connect_volumes:called",
    "boot:record_devices:before_commit", "boot:build:after_cast",
]  # fmt: skip
ATTACH = [
    "attach_volume:reserve:called", "attach_volume:connect:called",
    "attach_volume:attach_volume:after_cast", "attach_volume:complete:called",
]  # fmt: skip
DETACH = [
    "detach_volume:begin_detaching:called", "detach_volume:detach_volume:reported",
    "detach_volume:free:called",
]  # fmt: skip
DELETE = ["delete:destroy:reported", "delete:release_volumes:called"]


class Shop:
    """Servers of a user, and volumes for them."""

    def __init__(self, user):
        self.user = user
        self.volumes = Volumes.client(user.bus)
        self.storage = Storage(user.cloud, size=2)
        self.books = Books(user.cloud)

    def boot(self):
        """A server that boots from a volume and has another one; both were made for it."""
        root = BlockDeviceMapping(
            uuid="", source="image", destination="volume", image_id="image", size_gib=1
        )
        second = BlockDeviceMapping(
            uuid="", source="blank", destination="volume", boot_index=None, size_gib=1
        )
        made = (self.storage.make(), self.storage.make())
        request = NewServers(
            uuids=(new_uuid(),), name="chaos", flavorid="1", reservation_id="r-1",
            networks=(RequestedNetwork(network_id=self.user.network),), admin_password="hidden",
            block_devices=(root, second), made_volumes=(made,),
        )  # fmt: skip
        self.user.insist(lambda: self.user.servers.create(self.user.ctx(), request))
        return request.uuids[0]

    def attach(self, server, volume):
        def ask():
            with contextlib.suppress(InvalidVolume):  # an answer was lost, not the attachment
                self.volumes.attach(
                    self.user.ctx(), server, wanted=RequestedVolume(volume_id=volume)
                )

        self.user.insist(ask)

    def detach(self, server, volume):
        def ask():
            with contextlib.suppress(VolumeNotAttached, InstanceNotFound):
                self.volumes.detach(self.user.ctx(), server, volume_id=volume)

        self.user.insist(ask)

    def of(self, server):
        """The volumes that a server has, by its row."""
        return {disk.volume_id for disk in self.books.disks() if disk.instance == server}

    def assert_in_order(self, **more):
        """Fails where something is stuck or leaked, or somebody tells something else of volumes."""
        self.user.assert_nothing_left(**more)
        assert self.storage.mistakes(self.books.disks()) == []


@pytest.fixture
def shop(user):
    made = Shop(user)
    yield made
    user.calm()
    made.storage.clear()
    made.books.close()


def test_a_life_with_volumes_survives_its_conductor_dying(user, shop):
    user.crash_at([*BOOT, *ATTACH, *DETACH, *DELETE])
    data = shop.storage.pool[0]

    server = shop.boot()
    assert user.outcome(server, timeout_s=120) == "active", user.row(server)
    made = shop.of(server)
    assert len(made) == 2
    shop.attach(server, data)
    user.outcome(server, timeout_s=120)
    assert shop.of(server) == {*made, data}
    shop.assert_in_order()
    shop.detach(server, data)
    user.outcome(server, timeout_s=120)
    assert shop.of(server) == made
    shop.assert_in_order()
    user.delete(server)
    assert user.outcome(server, timeout_s=120) == "deleted", user.row(server)

    points = [*BOOT, *ATTACH, *DETACH, *DELETE]
    assert user.has_crashed_at(points), set(points) - set(user.crashed_at())
    shop.assert_in_order()


@pytest.mark.parametrize(
    ("method", "step"),
    [("attach_volume", "attach_volume:attach_volume"),
     ("detach_volume", "detach_volume:detach_volume")],
)  # fmt: skip
def test_a_change_under_way_goes_on_when_its_compute_comes_back(user, shop, method, step):
    data = shop.storage.pool[0]
    server = shop.boot()
    assert user.outcome(server) == "active"
    if method == "detach_volume":
        shop.attach(server, data)
        user.outcome(server)
    user.cloud.faults(delays_ms={method: 1500})
    change = shop.attach if method == "attach_volume" else shop.detach
    change(server, data)
    wait_until(lambda: user.step(server) == step, "the host is at it")

    user.cloud.kill("compute")

    user.outcome(server)
    assert (data in shop.of(server)) == (method == "attach_volume")
    shop.assert_in_order()
    user.delete(server)
    assert user.outcome(server) == "deleted"
    shop.assert_in_order()


def test_a_volume_is_free_again_when_the_host_that_should_get_it_stays_dead(user, shop):
    data = shop.storage.pool[0]
    server = shop.boot()
    assert user.outcome(server) == "active"
    user.cloud.faults(delays_ms={"attach_volume": 60000})
    shop.attach(server, data)
    wait_until(
        lambda: user.step(server) == "attach_volume:attach_volume", "the host is at it"
    )  # fmt: skip
    user.cloud.kill("compute")

    wait_until(lambda: user.rests(server), "it rests", timeout_s=90)

    assert data not in shop.of(server)
    user.calm()
    shop.assert_in_order(timeout_s=40)
    user.delete(server)
    assert user.outcome(server) == "deleted"
    shop.assert_in_order()


def test_volumes_of_a_boot_that_is_deleted_end_whoever_is_killed(user, shop):
    user.cloud.faults(delays_ms={"build": 5000})
    server = shop.boot()
    wait_until(lambda: user.step(server) == "boot:build", "it is being built")

    user.delete(server)
    user.cloud.kill("compute")
    user.cloud.kill("conductor")

    assert user.outcome(server) == "deleted"
    shop.assert_in_order(timeout_s=40)

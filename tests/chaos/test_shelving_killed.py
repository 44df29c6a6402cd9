# SPDX-License-Identifier: Apache-2.0
"""A server is shelved and comes back while what carries it out is killed."""

import pytest

from common.rpc.conductor.shelving import Shelving
from tests.functional.rabbitmq import wait_until

pytestmark = [pytest.mark.functional, pytest.mark.chaos]

# Where a death is of another kind than at the steps of a boot or a deletion; what is between them
# has tests/functional/journal/test_every_flow.py.
SHELVE = [
    "shelve:check_image:called", "shelve:snapshot:after_cast", "shelve:upload_snapshot:after_cast",
    "shelve:upload_snapshot:reported", "shelve:record:after_commit", "shelve:offload:before_commit",
]  # fmt: skip
UNSHELVE = [
    "unshelve:look_up_image:called", "unshelve:bind_ports:called", "unshelve:build:after_cast",
    "unshelve:activate:after_commit", "unshelve:delete_image:called",
]  # fmt: skip


class Shelf:
    """Shelves servers of a user and brings them back."""

    def __init__(self, user):
        self.user = user
        self.shelving = Shelving.client(user.bus)
        self.images = user.cloud.connect("admin").image

    def shelve(self, server):
        """Its image's id."""
        image = self.images.create_image(
            name=f"{server}-shelved", disk_format="qcow2", container_format="bare"
        )
        self.shelving.shelve(self.user.ctx(), server, image_id=image.id)
        return image.id

    def unshelve(self, server):
        self.shelving.unshelve(self.user.ctx(), server)

    def status(self, image_id):
        found = self.images.find_image(image_id)
        return found.status if found else "gone"


@pytest.fixture
def shelf(user):
    return Shelf(user)


def test_shelving_survives_its_conductor_dying(user, shelf):
    server = user.boot()
    assert user.outcome(server) == "active"
    user.crash_at([*SHELVE, *UNSHELVE])

    image = shelf.shelve(server)
    assert user.outcome(server, timeout_s=120) == "shelved_offloaded", user.row(server)
    assert shelf.status(image) == "active"
    assert set(SHELVE) <= set(user.crashed_at())
    user.assert_nothing_left()

    shelf.unshelve(server)
    assert user.outcome(server, timeout_s=120) == "active", user.row(server)
    wait_until(lambda: user.has_crashed_at(UNSHELVE), "it died everywhere", timeout_s=30)
    user.revive()
    wait_until(lambda: shelf.status(image) == "gone", "the image is deleted", timeout_s=30)
    user.assert_nothing_left()


def test_a_snapshot_under_way_goes_on_when_its_compute_comes_back(user, shelf):
    server = user.boot()
    assert user.outcome(server) == "active"
    user.cloud.faults(delays_ms={"snapshot": 1500})
    image = shelf.shelve(server)
    wait_until(lambda: user.step(server) == "shelve:snapshot", "it is being copied")

    user.cloud.kill("compute")

    assert user.outcome(server) == "shelved_offloaded"
    assert shelf.status(image) == "active"
    user.assert_nothing_left()


def test_a_server_whose_host_dies_while_it_is_shelved_goes_on_there(user, shelf):
    server = user.boot()
    assert user.outcome(server) == "active"
    user.cloud.faults(delays_ms={"snapshot": 60000})
    image = shelf.shelve(server)
    wait_until(lambda: user.step(server) == "shelve:snapshot", "it is being copied")
    user.cloud.kill("compute")

    wait_until(lambda: user.rests(server), "it rests", timeout_s=90)

    assert user.row(server).vm_state == "active"
    assert shelf.status(image) == "gone"
    user.calm()
    user.assert_nothing_left(timeout_s=40)

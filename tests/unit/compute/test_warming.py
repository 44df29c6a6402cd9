# SPDX-License-Identifier: Apache-2.0
"""Images are fetched ahead, one at a time a host; what cannot be fetched stops nothing."""

import threading

import pytest

from common.context import service_context
from common.errors import HostNotFound, ImageNotFound
from common.objects.image import ImageMeta
from services.compute.hosts import Host, Hosts, Offer
from services.compute.lanes import Lanes
from services.compute.virt.fake.director import Behaviour, Director
from services.compute.virt.fake.driver import FakeDriver
from services.compute.virt.fake.memory import GuestMemory
from services.compute.warming import Warming
from tests.contracts.drivers.contract import wait_until

SOON_S = 10


class Descriptions:
    """An image service without the images called `missing`; holds `slow` until told to go on."""

    def __init__(self):
        self.asked, self.go_on = [], threading.Event()

    def get(self, image_id):
        self.asked.append(image_id)
        if image_id == "missing":
            raise ImageNotFound(image=image_id)
        if image_id == "slow":
            assert self.go_on.wait(SOON_S)
        return ImageMeta(id=image_id)


class Scene:
    """Two fake hosts of one daemon."""

    def __init__(self, folder):
        self.folder = folder / "images"
        self.images = Descriptions()
        self.lanes = Lanes(threads=4)
        hosts = [Host(name, name, self._driver(name, folder)) for name in ("one", "two")]
        offer = Hosts(hosts, rpc_server="node", offer=Offer())
        self.warming = Warming(offer, self.lanes, self.images)

    def _driver(self, name, folder):
        return FakeDriver(
            name, total=None, director=Director(Behaviour()), memory=GuestMemory(),
            snapshots=folder, images=folder / "images",
        )  # fmt: skip

    def start(self, host, *images):
        self.warming.start(service_context(), host, images)

    def cached(self):
        return sorted(file.name for file in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.images.go_on.set()
    scene.lanes.close()


def test_an_image_that_is_not_there_does_not_keep_the_next_one_away(scene):
    scene.start("one", "missing", "good")

    wait_until(lambda: scene.cached() == ["one.good"])
    assert scene.images.asked == ["missing", "good"]


def test_a_host_fetches_one_image_at_a_time_and_others_do_not_wait(scene):
    scene.start("one", "slow", "later")
    scene.start("two", "good")

    wait_until(lambda: scene.cached() == ["two.good"])
    assert "later" not in scene.images.asked
    scene.images.go_on.set()
    wait_until(lambda: scene.cached() == ["one.later", "one.slow", "two.good"])


def test_what_waits_is_given_up_when_the_daemon_stops(scene):
    scene.start("one", "slow", "later")
    wait_until(lambda: scene.images.asked)

    scene.warming.stop()
    scene.images.go_on.set()
    scene.lanes.close()

    assert scene.cached() == []


def test_a_host_of_another_daemon_is_refused(scene):
    with pytest.raises(HostNotFound):
        scene.start("elsewhere", "good")

# SPDX-License-Identifier: Apache-2.0
"""Guests are asked back once after a boot of their host, and not after a restart of its daemon."""

import pytest

from common.errors import Unavailable
from services.compute.host_boot import HostBoot, Revival


class Scene:
    """A host that boots, its daemons one after the other, and a conductor that may be away."""

    def __init__(self, folder):
        self._folder = folder
        self.asked, self.is_away = [], False
        self.boot("one")

    def boot(self, boot_id):
        (self._folder / "boot_id").write_text(boot_id + "\n")

    def start_daemon(self, *, revives=True):
        boot = HostBoot(self._folder / "compute" / "boot_id", self._folder / "boot_id")
        return Revival(boot, ["h1"], revives=revives, ask=self._ask)

    def _ask(self, host):
        if self.is_away:
            raise Unavailable(service="the conductor")
        self.asked.append(host)
        return 1


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_the_first_daemon_of_a_host_asks_for_nothing(scene):
    scene.start_daemon()()

    assert scene.asked == []


def test_a_daemon_that_starts_anew_asks_for_nothing(scene):
    scene.start_daemon()()

    scene.start_daemon()()

    assert scene.asked == []


def test_guests_are_asked_back_once_after_a_boot(scene):
    scene.start_daemon()()
    scene.boot("two")

    revival = scene.start_daemon()
    revival()
    revival()
    scene.start_daemon()()

    assert scene.asked == ["h1"]


def test_they_are_not_where_the_operator_does_not_want_them(scene):
    scene.start_daemon()()
    scene.boot("two")

    scene.start_daemon(revives=False)()
    scene.start_daemon()()

    assert scene.asked == []


def test_a_conductor_that_is_away_is_asked_again(scene):
    scene.start_daemon()()
    scene.boot("two")
    scene.is_away = True
    with pytest.raises(Unavailable):
        scene.start_daemon()()

    scene.is_away = False
    scene.start_daemon()()

    assert scene.asked == ["h1"]

# SPDX-License-Identifier: Apache-2.0
"""Guests that were frozen when their daemon died go on when it starts again.

On libvirt's own test driver, whose guest has an agent that freezes two file systems.
"""

import libvirt
import pytest

from services.compute.virt.libvirt.freeze import Freezer
from tests import factories

GUEST = factories.make_instance()
PATIENCE_S = 5
FROZEN, FREE = 2, 0  # file systems that one more thaw lets go


@pytest.fixture
def domain():
    connection = libvirt.open("test:///default")
    [found] = connection.listAllDomains()
    yield found
    connection.close()


@pytest.fixture
def marks(tmp_path):
    return tmp_path / "frozen"


def find(domain):
    return lambda uuid: domain if uuid == domain.UUIDString() else None


def test_a_guest_that_a_dead_daemon_has_frozen_goes_on(domain, marks):
    assert Freezer(marks, PATIENCE_S).freeze(domain, GUEST)

    Freezer(marks, PATIENCE_S).thaw_left(find(domain))

    assert domain.fsThaw() == FREE
    assert list(marks.iterdir()) == []


def test_one_that_somebody_else_has_frozen_is_left_alone(domain, marks):
    freezer = Freezer(marks, PATIENCE_S)
    freezer.freeze(domain, GUEST)
    freezer.thaw(domain)
    domain.fsFreeze()

    Freezer(marks, PATIENCE_S).thaw_left(find(domain))

    assert domain.fsThaw() == FROZEN


def test_one_that_is_gone_is_forgotten(domain, marks):
    Freezer(marks, PATIENCE_S).freeze(domain, GUEST)

    Freezer(marks, PATIENCE_S).thaw_left(lambda uuid: None)

    assert list(marks.iterdir()) == []

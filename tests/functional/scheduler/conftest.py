# SPDX-License-Identifier: Apache-2.0
"""This suite works on a private PostgreSQL and RabbitMQ."""

import pytest

from tests.functional.conductor_half import ConductorHalf, bus_of


@pytest.fixture
def conductor(database, transport_url, tmp_path):
    """A conductor's half; it serves once a test says so."""
    bus = bus_of(transport_url, tmp_path)
    yield ConductorHalf(database, bus)
    bus.close()

# SPDX-License-Identifier: Apache-2.0
"""The journal over a private PostgreSQL."""

import pytest

from tests.functional.journal.world import World


@pytest.fixture
def world(database):
    made = World(database)
    yield made
    made.runner.stop()

# SPDX-License-Identifier: Apache-2.0
"""Kill tests run on clouds of real processes, over a private PostgreSQL and RabbitMQ."""

import pytest

from tests.chaos.user import User
from tests.functional.cloud import *  # noqa: F403


@pytest.fixture(scope="module")
def user(make_cloud):
    """Somebody who boots and deletes servers on a cloud that is about to be killed."""
    cloud = make_cloud()
    cloud.start("companion", "conductor", "scheduler", "compute")
    made = User(cloud)
    yield made
    made.close()
    cloud.remove()


@pytest.fixture(autouse=True)
def calm(user):
    """Every daemon runs again and does what it is asked to when a test begins."""
    user.calm()

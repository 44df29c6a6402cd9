# SPDX-License-Identifier: Apache-2.0
"""The command line is tried on a cloud of real processes."""

import pytest

from tests.functional.cli.shell import Shell
from tests.functional.cloud import *  # noqa: F403
from tests.functional.cloud import wait_for_status


@pytest.fixture(scope="module")
def admin(cloud):
    return Shell(cloud, "admin")


@pytest.fixture(scope="module")
def demo(cloud):
    return cloud.connect("demo")


@pytest.fixture
def boot(demo):
    """Boots servers, and deletes them after the test."""
    made = []

    def boot_one(name: str, flavor: str = "tiny", wanted: str = "ACTIVE") -> str:
        server = demo.compute.create_server(
            name=name,
            flavor_id=demo.compute.find_flavor(flavor).id,
            image_id=next(iter(demo.image.images())).id,
            networks="none",
        )
        made.append(server)
        wait_for_status(demo, server.id, wanted)
        return server.id

    yield boot_one
    for server in made:
        demo.compute.delete_server(server, ignore_missing=True)
        demo.compute.wait_for_delete(server)

# SPDX-License-Identifier: Apache-2.0
"""One running cloud for the whole contract suite, and the things in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.world import World
from tests.functional.cloud import Cloud, make_cloud  # noqa: F401

# A shelved server stays on its host, and a deleted one can be restored, until a test says else:
# hosts have room for all that were.
_OPTIONS = """
    [conductor]
    shelved_offload_time_s = -1
    reclaim_instance_interval_s = 3600
    [fake]
    vcpus = 1024
"""


@pytest.fixture(scope="package")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:  # noqa: F811
    made = make_cloud(hosts=8, options=_OPTIONS)
    try:
        made.start()
        made.seed()
        admin = made.connect("admin")
        admin.compute.create_flavor(name="small", ram=128, vcpus=1, disk=1, id="2")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="package")
def world(cloud: Cloud) -> World:
    made = World(cloud)
    made.reserve_hosts()
    return made

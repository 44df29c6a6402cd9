# SPDX-License-Identifier: Apache-2.0
"""A cloud to be fuzzed, and what is in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.world import World
from tests.functional.cloud import Cloud, make_cloud  # noqa: F401
from tests.functional.fuzz.aim import Aim


@pytest.fixture(scope="package")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:  # noqa: F811
    made = make_cloud()
    try:
        made.start()
        made.seed()
        admin = made.connect("admin")
        admin.compute.create_flavor(name="small", ram=128, vcpus=1, disk=1, id="2")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="package")
def aim(cloud: Cloud, say: Callable[[str], None]) -> Iterator[Aim]:
    made = Aim(World(cloud))
    yield made
    say(f"fuzz: {made.tally()}")


@pytest.fixture(scope="session")
def budget(pytestconfig: pytest.Config) -> int:
    """How many requests are sent in all, about."""
    return int(pytestconfig.getoption("--fuzz"))

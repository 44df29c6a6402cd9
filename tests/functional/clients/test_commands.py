# SPDX-License-Identifier: Apache-2.0
"""The stock command line clients drive every compute command that they have."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.world import World
from tests.functional.clients import excused
from tests.functional.clients.commands import NOVA, OPENSTACK, Case
from tests.functional.clients.shells import Shells
from tests.functional.cloud import Cloud

# A shelved server stays on its host, and a deleted one can be restored, until a test says else.
_OPTIONS = """
    [conductor]
    shelved_offload_time_s = -1
    reclaim_instance_interval_s = 3600
"""


@pytest.fixture(scope="module")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    made = make_cloud(hosts=4, options=_OPTIONS)
    try:
        made.start()
        made.seed()
        admin = made.connect("admin")
        admin.compute.create_flavor(name="small", ram=128, vcpus=1, disk=1, id="2")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def world(cloud: Cloud) -> World:
    made = World(cloud)
    made.reserve_hosts()
    return made


@pytest.fixture(scope="module")
def shells(cloud: Cloud) -> Shells:
    return Shells(cloud, "admin")


def _cases(program: str, cases: list[Case]) -> list[Any]:
    names = [f"{program} {case.command} {case.version or ''}".strip() for case in cases]
    return [
        pytest.param(
            case,
            id=name,
            marks=[pytest.mark.xfail(reason=excused.COMMANDS[name], strict=True)]
            if name in excused.COMMANDS
            else [],
        )
        for name, case in zip(names, cases, strict=True)
    ]


@pytest.mark.parametrize("case", _cases("openstack", OPENSTACK))
def test_openstack_client(world: World, shells: Shells, case: Case):
    _drive(world, shells.openstack, case)


@pytest.mark.parametrize("case", _cases("nova", NOVA))
def test_nova_client(world: World, shells: Shells, case: Case):
    _drive(world, shells.nova, case)


def _drive(world: World, run: Callable[..., str], case: Case) -> None:
    things = case.things(world)
    version = {"microversion": case.version} if case.version else {}

    said = run(case.command.format(**things), **version)

    for word in case.says:
        assert word in said, said
    if case.then:
        world.until(things["s"], case.then)

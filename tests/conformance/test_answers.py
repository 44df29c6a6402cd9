# SPDX-License-Identifier: Apache-2.0
"""Every operation answers as the contract says, at every microversion at which something changes.

The answers are those of a running cloud: real daemons, real database, the fake driver.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from services.api.declare.version import FIRST, LAST
from tests.conformance import operations
from tests.conformance.answers import differences, undescribed
from tests.conformance.asked import ASKED
from tests.conformance.operations import key_of
from tests.conformance.world import Nowhere, World

_held: Counter[str] = Counter()


def cases(found: Iterable[dict[str, Any]]) -> list[Any]:
    """Operations as parameters of a test."""
    return [pytest.param(each, id=" ".join(filter(None, key_of(each)))) for each in found]


def _outside(operation: dict[str, Any]) -> list[int]:
    """Microversions just before and after those of an operation."""
    first, last = operations.versions(operation)
    return sorted({first - 1, last + 1} - {FIRST - 1, LAST + 1})


@pytest.fixture(scope="module", autouse=True)
def coverage(say: Callable[[str], None]) -> Iterator[None]:
    """Says at the end how much of the contract was seen to hold."""
    yield
    whole = [len(operations.turning_points(each)) for each in operations.present()]
    say(
        f"contract: {_held['operations']} of {len(whole)} operations, {_held['points']} of "
        f"{sum(whole)} operations x microversions answered as they should"
    )


@pytest.mark.parametrize("operation", cases(operations.present()))
def test_an_operation_answers_as_the_contract_says(world: World, operation):
    for version in operations.turning_points(operation):
        path, body = ASKED[key_of(operation)](world, version)
        answer = world.ask(operation["method"], path, body, version=version)

        wrong = differences(operation, version, answer)
        assert wrong == [], f"2.{version} {answer.request.method} {path} {body}: {answer.text:.400}"
        if answer.status_code < 400:
            other = undescribed(world.cloud.compute_url, operation, version, answer)
            assert other == [], f"2.{version} {operation['path']}: {answer.text:.300}"
        _held["points"] += 1
    _held["operations"] += 1


def test_every_operation_has_a_request_and_no_other_has():
    assert set(ASKED) == {key_of(each) for each in operations.present()}


@pytest.mark.parametrize("operation", cases(filter(_outside, operations.present())))
def test_outside_its_microversions_an_operation_is_not_found(world: World, operation):
    for version in _outside(operation):
        path, body = ASKED[key_of(operation)](Nowhere(), version)

        answer = world.ask(operation["method"], path, body, version=version)

        assert answer.status_code == 404, f"2.{version}: {answer.text[:300]}"
        assert answer.json()["itemNotFound"]["message"] == "The resource could not be found."


@pytest.mark.parametrize("operation", cases(operations.removed()))
def test_what_was_removed_is_gone_at_every_microversion(world: World, operation):
    method, path, action = key_of(operation)
    url = path.replace("{", "").replace("}", "")
    for version in (FIRST, LAST):
        answer = world.ask(method, url, {action: None} if action else None, version=version)

        assert answer.status_code == 410, answer.text
        assert answer.json()["computeFault"]["code"] == 410

# SPDX-License-Identifier: Apache-2.0
"""Bodies and queries that hypothesis makes up from the contract's schemas end in no 5xx."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conformance import operations
from tests.conformance.asked import ASKED
from tests.conformance.mutations import near
from tests.conformance.operations import key_of
from tests.conformance.world import Nowhere
from tests.functional.fuzz.aim import Aim

_TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\x00", "a\x00b", "'", "%", "\\", "9" * 40, "-1", "²", "null", "[", "(" * 30]),
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
# What would put the cloud itself out of order, instead of a thing in it.
_SPARED = ("/os-services/{id}", "/os-hosts/{id}", "/os-quota-sets/{id}")


def _shot_at() -> list[dict[str, Any]]:
    return [
        each
        for each in operations.present()
        if each["path"] not in ("/", "//") and not each["path"].startswith(_SPARED)
    ]


def _schema(operation: dict[str, Any], kind: str, version: int) -> dict[str, Any]:
    return operations.schema(operation, kind, version) or {}


@st.composite
def _requests(draw: st.DrawFn, operation: dict[str, Any]) -> tuple[int, Any, dict[str, list[str]]]:
    version = draw(st.sampled_from(operations.turning_points(operation)))
    schema = _schema(operation, "request", version)
    _, good = ASKED[key_of(operation)](Nowhere(), version)
    body = None
    if operation["method"] in ("POST", "PUT"):
        body = good if draw(st.booleans()) else draw(_ANYTHING)
        for _ in range(draw(st.integers(0, 2))):
            around = list(near(body, schema))
            body = draw(st.sampled_from(around)) if around else body
    keys = list(_schema(operation, "query", version).get("properties", ())) or ["x"]
    query = draw(st.dictionaries(st.sampled_from(keys) | _TEXT, st.lists(_TEXT, max_size=2),
                                 max_size=2))  # fmt: skip
    return version, body, query


def _aimed(document: Any, aim: Aim, real: Any) -> Any:
    """A document about something that is there, instead of what is nowhere."""
    if isinstance(document, dict):
        return {
            key: _aimed(value, aim, real.get(key) if isinstance(real, dict) else None)
            for key, value in document.items()
        }
    return real if document == Nowhere.image and isinstance(real, str) else document


@pytest.mark.parametrize("operation", _shot_at(), ids=lambda o: " ".join(filter(None, key_of(o))))
def test_no_request_ends_in_a_failure_of_ours(aim: Aim, budget: int, operation):
    each = max(4, budget * 3 // 4 // len(_shot_at()))

    @seed(1)
    @settings(
        max_examples=each, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(_requests(operation))
    def shoot(request: tuple[int, Any, dict[str, list[str]]]) -> None:
        version, body, query = request
        path, real = ASKED[key_of(operation)](aim, version)
        answer = aim.world.ask(
            operation["method"], path, _aimed(body, aim, real), version=version, params=query
        )
        aim.hit(answer)

    shoot()

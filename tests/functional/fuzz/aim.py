# SPDX-License-Identifier: Apache-2.0
"""What fuzzed requests are aimed at: things that are really there, as long as they live."""

from collections import Counter
from typing import Any

import requests

from tests.conformance.world import NO_ID, Nowhere, World

_ALIVE_FOR = 40


class Aim(Nowhere):
    """Ids of real things; a new server when the last was shot at for a while."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.image, self.network = world.image, world.network
        self.project_id, self.user_id = world.project_id, world.user_id
        self.answers: Counter[tuple[str, int]] = Counter()
        self._asked = 0
        self._server = ""

    @property
    def kept(self) -> str:
        return self.server()

    def server(self, status: str = "ACTIVE") -> str:
        """A server that was ACTIVE not long ago."""
        if self._asked % _ALIVE_FOR == 0:
            self._server = self.world.boot(metadata={"a": "b"}, tags=["t"])
        self._asked += 1
        return self._server

    wired = stranded = server

    def flavor(self, **_: Any) -> str:
        return "2"

    private_flavor = flavor_with_specs = flavor

    def must(self, *_: Any, **__: Any) -> Any:
        """Preparations are left out: what they would make is nowhere."""
        return {"interfaceAttachments": [{"port_id": NO_ID}]}

    def hit(self, answer: requests.Response) -> None:
        """Count a shot. Fails when the API broke instead of refusing."""
        self.answers[str(answer.request.method), answer.status_code] += 1
        assert_no_failure_of_ours(answer)

    def tally(self) -> str:
        """How many shots there were, and how they were answered, by method."""
        by_method = {
            method: {status: count for (m, status), count in self.answers.items() if m == method}
            for method in sorted({m for m, _ in self.answers})
        }
        shown = "; ".join(
            f"{method} {sum(found.values())} ("
            + ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
            + ")"
            for method, found in by_method.items()
        )
        return f"{self.answers.total()} requests: {shown}"


def assert_no_failure_of_ours(answer: requests.Response) -> None:
    """Fails when the API broke instead of refusing."""
    sent = answer.request
    where = (
        f"{sent.method} {sent.url} {sent.headers.get('OpenStack-API-Version')} {sent.body!r:.600}"
    )
    assert answer.status_code < 500 or answer.status_code == 501, (
        f"{where}: {answer.status_code} {answer.text[:500]}"
    )
    assert "Traceback" not in answer.text, where

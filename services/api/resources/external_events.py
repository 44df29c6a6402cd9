# SPDX-License-Identifier: Apache-2.0
"""`/os-server-external-events`: what network, volume and other services tell of servers."""

from typing import Any

from common.objects.external_event import ExternalEvent
from common.rpc.conductor.external_events import ExternalEvents
from services.api.call import ApiCall
from services.api.declare.request import Body
from services.api.declare.types import UUID, Array, Changing, Field, Plain, Record, enum, string
from services.api.declare.view import Raw
from services.api.responder import responder

_TAKEN, _SOME_DROPPED = 200, 207
_NETWORK = (
    "network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted",
)  # fmt: skip
_LATER = (
    ("2.51", "volume-extended"),
    ("2.76", "power-update"),
    ("2.82", "accelerator-request-bound"),
    ("2.93", "volume-reimaged"),
)
_NAMES = Changing((
    ("2.1", enum(*_NETWORK)),
    *((since, enum(*_NETWORK, *(name for _, name in _LATER[: place + 1])))
      for place, (since, _) in enumerate(_LATER)),
))  # fmt: skip
CREATE = Body.of("external-events", "events", Array(Record([
    Field("name", _NAMES),
    Field("server_uuid", UUID),
    Field("status", enum("failed", "completed", "in-progress"), required=False),
    Field("tag", string(most=255), required=False),
]), least=1))  # fmt: skip


class ServerExternalEvents:
    """`/os-server-external-events`."""

    def __init__(self, events: ExternalEvents) -> None:
        self._events = events

    @responder(
        policy="os_compute_api:os-server-external-events:create",
        body=CREATE,
        returns=Raw(Plain({"type": "object"})),
    )
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Take events in; each is answered with a code of its own."""
        given = [{"status": "completed", **event} for event in call.body]
        events = [ExternalEvent(**event) for event in given]
        codes = self._events.deliver(call.caller, events=events)
        call.status = _TAKEN if set(codes) == {_TAKEN} else _SOME_DROPPED
        return {"events": [_answer(*each) for each in zip(given, codes, strict=True)]}


def _answer(event: dict[str, Any], code: int) -> dict[str, Any]:
    """What became of one event: what was not taken in has failed, whatever its sender said."""
    return {**event, "code": code, **({} if code == _TAKEN else {"status": "failed"})}

# SPDX-License-Identifier: Apache-2.0
"""Resources under a name that ended with a microversion: the same responders, for less long."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import falcon

from common.errors import NotFound
from services.api.actions import Act, Actions
from services.api.call import ApiCall
from services.api.declare.version import Span
from services.api.responder import declared, operation_of

_METHODS = ("get", "post", "put", "delete")


class OldName:
    """`resource` by the name `old` of what is called `new` now; links have the new one."""

    def __init__(self, resource: Any, *, old: str, new: str, until: str) -> None:
        for responder in _responders(resource):
            act = getattr(resource, responder)
            setattr(self, responder, _narrowed(act, old=old, new=new, until=until))


def old_actions(actions: Mapping[str, Act], *, old: str, new: str, until: str) -> Actions:
    """As `OldName`, for actions."""
    return Actions(
        {name: _narrowed(act, old=old, new=new, until=until) for name, act in actions.items()}
    )


def _responders(resource: Any) -> Iterable[str]:
    wanted = tuple(f"on_{method}" for method in _METHODS)
    return (name for name in dir(resource) if name.startswith(wanted))


def _narrowed(act: Act, *, old: str, new: str, until: str) -> Act:
    operation = operation_of(act)
    assert operation is not None, f"{act} is no responder"
    first, last = operation.span.first, Span.between(None, until).last
    span = Span(first, min(last, operation.span.last))

    def respond(req: falcon.Request, resp: falcon.Response, **parts: str) -> None:
        call: ApiCall = req.context.call
        if call.version not in span:
            raise NotFound()
        path = call.links.path.replace(old, new, 1)
        call.links = dataclasses.replace(call.links, path=path)
        act(req, resp, **parts)

    return declared(respond, dataclasses.replace(operation, span=span))

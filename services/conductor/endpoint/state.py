# SPDX-License-Identifier: Apache-2.0
"""The `state` interface."""

from common.context import RequestContext
from common.rpc.conductor.state import State
from services.conductor.accept.state import AcceptState


class StateEndpoint(State):
    """Hands changes to their acceptance."""

    def __init__(self, accept: AcceptState) -> None:
        self._accept = accept

    def lock(self, ctx: RequestContext, instance: str, *, reason: str | None = None) -> None:
        self._accept.lock(ctx, instance, reason)

    def unlock(self, ctx: RequestContext, instance: str) -> None:
        self._accept.unlock(ctx, instance)

    def reset_state(self, ctx: RequestContext, instance: str, *, vm_state: str) -> None:
        self._accept.reset_state(ctx, instance, vm_state)

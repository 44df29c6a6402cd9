# SPDX-License-Identifier: Apache-2.0
"""Requests that are done once however often they are sent."""

from common.context import RequestContext
from common.objects.kept_request import KeptRequest
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Idempotency(Interface, topic=TOPIC, namespace="idempotency", version="1.0"):
    """Keys of requests, each taken once within a day.

    1.0  first release
    """

    @call()
    def begin(self, ctx: RequestContext, key: str, *, fingerprint: str) -> KeptRequest | None:
        """Take a key: None when it is now this request's, else the request that has it."""

    @call()
    def finish(self, ctx: RequestContext, key: str, *, answer: str) -> None:
        """Keep the answer of the request that has the key. Again: the last answer holds."""

    @call()
    def forget(self, ctx: RequestContext, key: str) -> None:
        """Give a key back: its request was refused, so nothing was done. Again: harmless."""

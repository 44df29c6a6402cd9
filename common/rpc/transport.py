# SPDX-License-Identifier: Apache-2.0
"""The bus: oslo.messaging over RabbitMQ, for clients and servers of our interfaces.

A `Bus` is made after a process has forked. It turns every way the broker or a peer can be away
into `Unavailable`, within the call's time, and rebuilds its transport when calls keep timing out:
a consumer that went deaf never needs a restart by hand.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import oslo_messaging
from oslo_config import cfg
from oslo_messaging._metrics import client as oslo_metrics
from oslo_messaging._tracing import client as oslo_tracing

from common.context import RequestContext
from common.errors import Internal, Invalid, KilonovaError, Unavailable
from common.observability import counters, log
from common.rpc.interface import Address, Interface, dispatch, encode_error, encode_reply
from common.rpc.rabbit import quicken

LOG = logging.getLogger(__name__)

_DEAF_AFTER = 3  # consecutive calls without an answer before the transport is rebuilt
_CONTEXT_KEY = "kilonova"
_encode_context = msgspec.json.Encoder().encode
_decode_context = msgspec.json.Decoder(RequestContext).decode


class Bus:
    """One process's connection to the broker.

    `conf` holds oslo.messaging's own options (`transport_url`, `[oslo_messaging_rabbit]`).
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        _register_hidden_options(conf)
        self._conf = conf
        self._lock = threading.Lock()
        self._silent_calls = 0
        self._servers: list[Any] = []
        self._transport = self._connect()
        self._clients: dict[Address, Any] = {}

    def _connect(self) -> Any:
        return quicken(oslo_messaging.get_rpc_transport(self._conf))

    # --- the sending side: what common.rpc.interface.Sender asks for ---

    def call(self, address: Address, ctx: RequestContext, payload: str, timeout_s: float) -> str:
        """Send and wait at most `timeout_s`; the reply text. Raises Unavailable."""
        counters.count("calls_sent")
        try:
            client = self._client(address).prepare(timeout=timeout_s)
            reply: str = client.call(_carry(ctx), address.method, p=payload)
        except oslo_messaging.MessagingTimeout as gone:
            self._count_silence()
            raise Unavailable(service=_spoken(address)) from gone
        except (oslo_messaging.MessageDeliveryFailure, OSError) as gone:
            raise Unavailable(service="The message broker") from gone
        self._silent_calls = 0
        return reply

    def cast(self, address: Address, ctx: RequestContext, payload: str, *, fanout: bool) -> None:
        """Send and do not wait. Raises Unavailable when the broker takes nothing."""
        counters.count("casts_sent")
        try:
            client = self._client(address)
            if fanout:
                client = client.prepare(fanout=True)
            client.cast(_carry(ctx), address.method, p=payload)
        except (oslo_messaging.MessageDeliveryFailure, OSError) as gone:
            raise Unavailable(service="The message broker") from gone

    def _client(self, address: Address) -> Any:
        client = self._clients.get(address)
        if client is None:
            target = oslo_messaging.Target(
                topic=address.topic,
                namespace=address.namespace or None,
                version=address.version,
                server=address.server,
            )
            client = self._clients[address] = oslo_messaging.get_rpc_client(
                self._transport, target, retry=1
            )
        return client

    def _count_silence(self) -> None:
        with self._lock:
            self._silent_calls += 1
            if self._silent_calls < _DEAF_AFTER:
                return
            LOG.warning("No answer to %d calls in a row; rebuilding the connection", _DEAF_AFTER)
            self._silent_calls = 0
            old, self._transport = self._transport, self._connect()
            self._clients = {}
        threading.Thread(target=old.cleanup, name="old-transport", daemon=True).start()

    # --- the serving side ---

    def serve(
        self,
        topic: str,
        server: str,
        implementations: Iterable[Interface],
        *,
        threads: int = 16,
    ) -> "RpcServer":
        """Answer messages to `topic` (any server, this `server`, and fan-outs) in a thread pool."""
        endpoints = [_Endpoint(implementation) for implementation in implementations]
        inner = oslo_messaging.get_rpc_server(
            self._transport,
            oslo_messaging.Target(topic=topic, server=server),
            endpoints,
            access_policy=oslo_messaging.DefaultRPCAccessPolicy,
        )
        served = RpcServer(inner, threads)
        self._servers.append(served)
        return served

    def close(self) -> None:
        """Stop serving, finish what is running, close connections."""
        for server in self._servers:
            server.stop()
        self._transport.cleanup()


class RpcServer:
    """A running server of interfaces."""

    def __init__(self, inner: Any, threads: int) -> None:
        self._inner = inner
        self._threads = threads
        self._stopped = False

    def start(self) -> None:
        """Begin to take messages."""
        # Not by oslo.messaging's option: that one is shared by all servers of the process.
        self._inner.start(override_pool_size=self._threads)

    def stop(self) -> None:
        """Take no more messages and wait for those under way. Again: nothing."""
        if not self._stopped:
            self._stopped = True
            self._inner.stop()
            self._inner.wait()


class _Endpoint:
    """What oslo.messaging calls: one attribute for each method of an interface."""

    def __init__(self, implementation: Interface) -> None:
        self.target = oslo_messaging.Target(
            namespace=implementation.namespace or None, version=implementation.version
        )
        for method in implementation.methods.values():
            setattr(self, method.name, _answering(implementation, method.name))


def _answering(implementation: Interface, method: str) -> Callable[..., str | None]:
    is_call = implementation.methods[method].kind == "call"

    def answer(carried: dict[str, Any], p: str) -> str | None:
        ctx = _decode_context(carried[_CONTEXT_KEY])
        with log.bound(ctx):
            try:
                result = dispatch(implementation, method, ctx, p)
                return encode_reply(result) if is_call else None
            except KilonovaError as refused:
                if not is_call:
                    LOG.warning("%s failed: %s", method, refused)
                return encode_error(refused)
            except msgspec.ValidationError as malformed:
                LOG.warning("Malformed message to %s: %s", method, malformed)
                return encode_error(Invalid(str(malformed)))
            except Exception as unexpected:  # the outermost frame of a message
                LOG.exception("%s failed unexpectedly", method)
                return encode_error(Internal(reason=type(unexpected).__name__))

    return answer


def _carry(ctx: RequestContext) -> dict[str, str]:
    return {_CONTEXT_KEY: _encode_context(ctx).decode()}


def _spoken(address: Address) -> str:
    name = address.topic.removeprefix("kilonova-")
    return f"The {name} service on {address.server}" if address.server else f"The {name} service"


def _register_hidden_options(conf: cfg.ConfigOpts) -> None:
    """Register what oslo.messaging's client reads but registers on the global object only."""
    conf.register_opts(oslo_metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf.register_opts(oslo_tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")

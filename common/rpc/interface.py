# SPDX-License-Identifier: Apache-2.0
"""RPC interfaces as typed classes: the signatures are the protocol.

A class derived from `Interface` lists methods marked `@call` (somebody waits for the answer) or
`@cast` (nobody does). The server subclasses it; a client is made from it by `client()`. Arguments
travel as one JSON text whose fields are the parameters, so a peer ignores what it does not know
and uses the default of what it was not sent.
"""

import base64
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self, TypeVar

import msgspec
from isal import isal_zlib

from common.context import RequestContext
from common.errors import Internal, KilonovaError, PeerTooOld, WireError, from_wire
from common.objects.json_list import JsonList

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK = "_kilonova_rpc"
# Above this size a text is compressed: the broker and both ends' JSON encoders then handle a
# tenth of the bytes, and base64 needs no escaping when oslo.messaging wraps it.
_COMPRESS_ABOVE = 8 * 1024


@dataclass(frozen=True)
class Since:
    """Marks a parameter or method that is newer than version 1.0 of its interface."""

    version: str


@dataclass(frozen=True)
class _Mark:
    kind: str
    timeout_s: float
    fanout: bool
    since: str


def call(*, timeout_s: float = 10, since: str = "1.0") -> Callable[[_F], _F]:
    """Somebody waits at most `timeout_s` seconds for the answer."""
    return _marker(_Mark("call", timeout_s, False, since))


def cast(*, fanout: bool = False, since: str = "1.0") -> Callable[[_F], _F]:
    """Nobody waits; with `fanout` every server of the topic gets it."""
    return _marker(_Mark("cast", 0, fanout, since))


def _marker(mark: _Mark) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        setattr(function, _MARK, mark)
        return function

    return decorate


class Sender(Protocol):
    """What an interface's client needs of the bus (common/rpc/transport.py)."""

    def call(self, address: "Address", ctx: RequestContext, payload: str, timeout_s: float) -> str:
        """Send and wait; the reply text. Raises Unavailable when none comes in time."""

    def cast(self, address: "Address", ctx: RequestContext, payload: str, *, fanout: bool) -> None:
        """Send and do not wait. Raises Unavailable when the broker takes nothing."""


@dataclass(frozen=True)
class Address:
    """Where a message goes; `server` None means any server of the topic."""

    topic: str
    namespace: str
    version: str
    method: str
    server: str | None = None


@dataclass(frozen=True)
class Method:
    """One method of an interface, with compiled codecs of its arguments and its result."""

    name: str
    kind: str
    timeout_s: float
    fanout: bool
    since: str
    arguments: type[msgspec.Struct]
    newer: dict[str, str]
    decode_arguments: Callable[[bytes | str], Any]
    decode_result: Callable[[bytes], Any]
    names: tuple[str, ...] = field(default=())

    def encode(self, arguments: dict[str, Any]) -> str:
        """The text that carries `arguments` (without the context)."""
        return pack(_ENCODE(self.arguments(**arguments)))


def _as_it_is(value: Any) -> msgspec.Raw:
    """What is JSON already; msgspec asks about everything that it does not know."""
    if isinstance(value, JsonList):
        return msgspec.Raw(value.text)
    raise TypeError(f"{type(value).__name__} does not travel")


_ENCODE = msgspec.json.Encoder(enc_hook=_as_it_is).encode


class Interface:
    """Base of all RPC interfaces. `topic`, `namespace` and `version` are class arguments."""

    topic: ClassVar[str]
    namespace: ClassVar[str]
    version: ClassVar[str]
    methods: ClassVar[dict[str, Method]] = {}

    def __init_subclass__(
        cls, *, topic: str | None = None, namespace: str = "", version: str = "1.0", **kw: Any
    ) -> None:
        super().__init_subclass__(**kw)
        if topic is None:  # a server or a proxy of an interface, not an interface
            return
        cls.topic, cls.namespace, cls.version = topic, namespace, version
        cls.methods = {
            name: _compile(name, function, mark)
            for name, function in vars(cls).items()
            if (mark := getattr(function, _MARK, None)) is not None
        }

    @classmethod
    def client(cls, sender: Sender, server: str | None = None) -> Self:
        """An object of this class whose methods send messages to `server` (None: any)."""
        proxy = _proxy_class(cls)
        return typing.cast("Self", proxy(sender, server, cls.version))

    @classmethod
    def encode_arguments(cls, method: str, /, **arguments: Any) -> str:
        """The payload of a call of `method`, for keeping it and sending it later."""
        return cls.methods[method].encode(arguments)


_PROXIES: dict[type[Interface], Callable[..., Any]] = {}


def _proxy_class(interface: type[Interface]) -> Callable[..., Any]:
    if interface not in _PROXIES:
        members: dict[str, Any] = {"__init__": _proxy_init}
        for method in interface.methods.values():
            members[method.name] = _sending(interface, method)
        _PROXIES[interface] = type(f"{interface.__name__}Client", (interface,), members)
    return _PROXIES[interface]


def _proxy_init(self: Any, sender: Sender, server: str | None, peer_version: str) -> None:
    self._sender, self._server, self._peer_version = sender, server, peer_version
    self._addresses = {}


def _sending(interface: type[Interface], method: Method) -> Callable[..., Any]:
    def send(self: Any, ctx: RequestContext, *args: Any, **kwargs: Any) -> Any:
        arguments = dict(zip(method.names, args, strict=False)) | kwargs
        _refuse_what_the_peer_lacks(interface, method, arguments, self._peer_version)
        address = self._addresses.get(method.name)
        if address is None:
            address = self._addresses[method.name] = Address(
                interface.topic, interface.namespace, self._peer_version, method.name, self._server
            )
        payload = method.encode(arguments)
        if method.kind == "cast":
            self._sender.cast(address, ctx, payload, fanout=method.fanout)
            return None
        return decode_reply(method, self._sender.call(address, ctx, payload, method.timeout_s))

    return send


def _refuse_what_the_peer_lacks(
    interface: type[Interface], method: Method, arguments: dict[str, Any], peer: str
) -> None:
    """Leave out newer parameters at their default for an older peer; refuse others."""
    if peer == interface.version:
        return
    for name in [n for n, since in method.newer.items() if not _reaches(peer, since)]:
        given = arguments.pop(name, None)
        default = next(
            f.default for f in msgspec.structs.fields(method.arguments) if f.name == name
        )
        if given is not None and given != default:
            _too_old(interface, method, peer, method.newer[name])
    if not _reaches(peer, method.since):
        _too_old(interface, method, peer, method.since)


def _too_old(interface: type[Interface], method: Method, peer: str, needed: str) -> typing.NoReturn:
    raise PeerTooOld(
        peer=interface.topic, interface=interface.__name__, version=peer, needed=needed,
        method=method.name,
    )  # fmt: skip


def _reaches(version: str, needed: str) -> bool:
    return [int(p) for p in version.split(".")] >= [int(p) for p in needed.split(".")]


def _compile(name: str, function: Callable[..., Any], mark: _Mark) -> Method:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[tuple[Any, ...]] = []
    newer: dict[str, str] = {}
    for parameter in list(inspect.signature(function).parameters.values())[2:]:
        hint = hints[parameter.name]
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Since):
                newer[parameter.name] = extra.version
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint, parameter.default))
    arguments = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, omit_defaults=True)
    return Method(
        name, mark.kind, mark.timeout_s, mark.fanout, mark.since, arguments, newer,
        msgspec.json.Decoder(arguments).decode,
        _result_decoder(hints.get("return", type(None))),
        tuple(f[0] for f in fields),
    )  # fmt: skip


def _result_decoder(result: Any) -> Callable[[bytes], Any]:
    if typing.get_origin(result) is JsonList:
        (kind,) = typing.get_args(result)
        return lambda text: JsonList(text, kind)
    return msgspec.json.Decoder(result).decode


# --- payloads and replies ------------------------------------------------------------------------


def pack(encoded: bytes) -> str:
    """JSON bytes as the text that travels: itself, or `z` and its compressed base64 form."""
    if len(encoded) <= _COMPRESS_ABOVE:
        return encoded.decode()
    return "z" + base64.b64encode(isal_zlib.compress(encoded, 1)).decode()


def unpack(text: str) -> bytes:
    """The JSON bytes that `pack` was given."""
    if text[:1] == "z":
        return isal_zlib.decompress(base64.b64decode(text[1:]))
    return text.encode()


def encode_reply(result: Any) -> str:
    """A result as it travels: its JSON behind a plus sign."""
    return "+" + pack(_ENCODE(result))


def encode_error(error: KilonovaError) -> str:
    """An error as it travels: its JSON behind a minus sign."""
    return "-" + _ENCODE(error.to_wire()).decode()


def decode_reply(method: Method, text: str) -> Any:
    """The result that a reply carries; raises the error that it carries instead."""
    if text[:1] == "+":
        return method.decode_result(unpack(text[1:]))
    if text[:1] == "-":
        raise from_wire(msgspec.json.decode(text[1:], type=WireError))
    raise Internal(reason=f"unreadable reply to {method.name}")


def dispatch(implementation: Interface, method_name: str, ctx: RequestContext, payload: str) -> Any:
    """Run `method_name` of a server object with the arguments that `payload` carries."""
    method = implementation.methods[method_name]
    arguments = method.decode_arguments(unpack(payload))
    values = {name: getattr(arguments, name) for name in method.names}
    return getattr(implementation, method_name)(ctx, **values)

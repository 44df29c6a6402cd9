# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: one responder for every path, since the tree differs by guest.

Guests that boot together ask together. What most of them ask is a plain request with a good answer,
which is given without a thread (`at_once`); all else, and all that is refused, goes through falcon.
Errors are plain text, as guests' tools expect.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import falcon

from common.errors import Conflict, Invalid, KilonovaError, NotFound
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata
from common.observability import log
from common.plain_requests import Later, PlainGet, Reply
from services.metadata import tree
from services.metadata.asker import Asker, Identifies
from services.metadata.guests import Guests

LOG = logging.getLogger(__name__)

_MOST_PASSWORD_BYTES = 1020
_STATUS = {
    "invalid": falcon.HTTP_400,
    "forbidden": falcon.HTTP_403,
    "not_found": falcon.HTTP_404,
    "conflict": falcon.HTTP_409,
    "unavailable": falcon.HTTP_503,
}


@dataclass(frozen=True)
class MetadataService:
    """Answers guests. `health` says what is wrong; empty when all is well."""

    identifies: Identifies
    guests: Guests
    settings: TreeSettings
    today: Callable[[], date]
    health: Callable[[], dict[str, str]]

    def app(self) -> falcon.App[Any, Any]:
        """The WSGI application."""
        app = falcon.App(media_type=tree.TEXT)
        app.add_sink(self._respond, "/")
        app.add_error_handler(KilonovaError, _refuse)
        app.add_error_handler(Exception, _fail)
        return app

    def at_once(self, address: str, request: PlainGet) -> Reply | Later | None:
        """What a guest reads, if nothing is wrong and no other service has a part in it."""
        path = _parts(request.path)
        if not path or path == ["healthz"] or tree.asks_services(path, self.settings):
            return None
        try:
            asker = self.identifies.asker(address, request.headers)
            guest = self.guests.recall(asker)
            if guest is not None:
                return self._reply(path, guest)
            found = self.guests.ask(asker)
        except KilonovaError:
            return None
        return Later(
            found, lambda: None if found.exception() else self._reply(path, found.result())
        )

    def _reply(self, path: list[str], guest: GuestMetadata) -> Reply | None:
        answer = tree.find(guest, path, self.settings, self.today())
        return None if answer is None else Reply(answer.content, answer.content_type)

    def _respond(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        path = _parts(req.path)
        if path == ["healthz"]:
            healthy = not self.health()
            resp.status = falcon.HTTP_200 if healthy else falcon.HTTP_503
            resp.text = "healthy" if healthy else "unhealthy"
        elif not path:
            _send(resp, tree.root())
        else:
            asker = self.identifies.asker(req.remote_addr, req.headers)
            guest = self.guests.find(asker)
            with log.bound(instance=guest.instance.uuid):
                self._answer(req, resp, path, asker, guest)

    def _answer(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        path: list[str],
        asker: Asker,
        guest: GuestMetadata,
    ) -> None:
        if tree.is_password(path) and req.method not in ("GET", "HEAD"):
            self._set_password(req, asker, guest)
            return
        answer = tree.find(guest, path, self.settings, self.today())
        if answer is None:
            raise NotFound()
        _send(resp, answer)

    def _set_password(self, req: falcon.Request, asker: Asker, guest: GuestMetadata) -> None:
        if req.method != "POST":
            raise Invalid("A password is read with GET and set with POST.")
        body = req.stream.read(_MOST_PASSWORD_BYTES + 1)
        if len(body) > _MOST_PASSWORD_BYTES:
            raise Invalid(f"The password is longer than {_MOST_PASSWORD_BYTES} bytes.")
        try:
            password = body.decode()
        except UnicodeDecodeError as binary:
            raise Invalid("The password is not text: encode what you encrypted.") from binary
        if not self.guests.set_password(asker, guest, password):
            raise Conflict("A password is set already.")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _send(resp: falcon.Response, answer: tree.Answer) -> None:
    resp.data = answer.content
    resp.content_type = answer.content_type


def _refuse(
    req: falcon.Request, resp: falcon.Response, error: KilonovaError, params: dict[str, Any]
) -> None:
    resp.status = _STATUS.get(error.kind, falcon.HTTP_500)
    # A guest is told what it did wrong; what the deployment looks like inside is not its business.
    resp.text = "Not found." if error.kind == "not_found" else str(error)
    resp.content_type = tree.TEXT
    if error.kind == "unavailable":
        resp.set_header("Retry-After", "2")


def _fail(
    req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]
) -> None:
    LOG.error("Answering %s failed", req.path, exc_info=error)
    resp.status = falcon.HTTP_500
    resp.text = "Unexpected error."
    resp.content_type = tree.TEXT

# SPDX-License-Identifier: Apache-2.0
"""`/os-keypairs`: users' public keys."""

from typing import Any

from common.clock import Clock, iso_microseconds
from common.errors import Forbidden
from common.objects.keypair import Keypair, NewKeypair
from common.rpc.conductor.catalog import Catalog
from services.api import key_material
from services.api.call import ApiCall
from services.api.declare.request import PAGING, Body, Query
from services.api.declare.types import (
    INTEGER,
    NULL,
    STRICT_BOOLEAN,
    TEXT,
    Changing,
    Field,
    Plain,
    enum,
)
from services.api.declare.view import ABSENT, Listing, One, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-keypairs:"
_USERS_SINCE = 10


def _name(characters: str) -> Plain:
    plain = {"type": "string", "minLength": 1, "maxLength": 255}
    return Plain({"allOf": [{**plain, "format": "name"}, {**plain, "pattern": characters}]})


CREATE = Body("keypair-create", key="keypair", fields=[
    Field("name", Changing((
        ("2.1", _name(r"^[_\- a-zA-Z0-9]+$")), ("2.92", _name(r"^[_\-\@\. a-zA-Z0-9]+$")),
    ))),
    Field("type", enum("ssh", "x509"), since="2.2", required=False),
    Field("public_key", TEXT, until="2.91", required=False),
    Field("public_key", TEXT, since="2.92"),
    Field("user_id", TEXT, since="2.10", required=False),
])  # fmt: skip
_USER = Field("user_id", TEXT, since="2.10")
LIST = Query("keypair-list", [_USER, *(Field(f.name, f.type, since="2.35") for f in PAGING)])
SHOW = Query("keypair-show", [_USER])

_CORE = [
    Shown("name", TEXT, "name"),
    Shown("type", TEXT, "type", since="2.2"),
    Shown("fingerprint", TEXT, "fingerprint"),
    Shown("public_key", TEXT, "public_key"),
]


def _created(pair: Keypair, call: ApiCall) -> Any:
    return iso_microseconds(pair.created_at) if pair.created_at else None


ITEM = View("keypair-item", _CORE)
LISTED = View("keypair-listed", [
    Shown("keypair", Plain({"type": "object"}), ITEM.show),
])  # fmt: skip
KEYPAIR = View("keypair", [
    *_CORE,
    Shown("id", INTEGER, "id"),
    Shown("user_id", TEXT, "user_id"),
    Shown("created_at", TEXT, _created),
    # A key pair is never changed, and gone when deleted: these say so for old clients.
    Shown("updated_at", NULL, lambda pair, call: None),
    Shown("deleted", STRICT_BOOLEAN, lambda pair, call: False),
    Shown("deleted_at", NULL, lambda pair, call: None),
])  # fmt: skip
MADE = View("keypair-made", [
    Shown("name", TEXT, "keypair.name"),
    Shown("type", TEXT, "keypair.type", since="2.2"),
    Shown("fingerprint", TEXT, "keypair.fingerprint"),
    Shown("public_key", TEXT, "keypair.public_key"),
    Shown("user_id", TEXT, "keypair.user_id"),
    Shown("private_key", TEXT,
          lambda made, call: ABSENT if made.private_key is None else made.private_key,
          until="2.91"),
])  # fmt: skip


def _user(call: ApiCall, rule: str, asked: str | None) -> str:
    """Whose keys: the caller's, or from 2.10 somebody's whom policy lets the caller name."""
    own = call.caller.user_id or ""
    user = asked if asked and call.at_least(_USERS_SINCE) else own
    if not call.policy(call.caller, rule, user_id=user):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
    return user


class Keypairs:
    """`/os-keypairs`."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog, self._clock = catalog, clock

    @responder(
        query=LIST,
        returns=Listing(
            "keypairs", LISTED, paged_since="2.35", marker=lambda pair, call: str(pair.name)
        ),
    )
    def on_get(self, call: ApiCall) -> list[Keypair]:
        """List a user's key pairs."""
        user = _user(call, _RULE + "index", call.single("user_id"))
        paged = call.at_least(35)
        return self._catalog.keypairs(
            call.caller,
            user_id=user,
            limit=call.page_limit() if paged else None,
            marker=call.single("marker") if paged else None,
        )

    @responder(body=CREATE, returns=One("keypair", MADE), status=201, or_status=(200,))
    def on_post(self, call: ApiCall) -> NewKeypair:
        """Import a public key, or (below 2.92) have a pair made."""
        body = call.body
        user = _user(call, _RULE + "create", body.get("user_id"))
        kind = body.get("type", "ssh")
        if "public_key" in body:
            material = key_material.read_public_key(body["public_key"], kind)
        elif kind == "x509":
            material = key_material.generate_x509(user, self._clock.now())
        else:
            material = key_material.generate_ssh()
        kept = self._catalog.create_keypair(
            call.caller,
            Keypair(
                user_id=user,
                name=body["name"].strip(),
                type=kind,
                fingerprint=material.fingerprint,
                public_key=material.public_key,
            ),
        )
        call.status = None if call.at_least(2) else 200
        return NewKeypair(keypair=kept, private_key=material.private_key)


class KeypairByName:
    """`/os-keypairs/{name}`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(query=SHOW, returns=One("keypair", KEYPAIR))
    def on_get(self, call: ApiCall, name: str) -> Keypair:
        """Show a key pair."""
        user = _user(call, _RULE + "show", call.single("user_id"))
        return self._catalog.keypair(call.caller, user_id=user, name=name)

    @responder(query=SHOW, status=204, or_status=(202,))
    def on_delete(self, call: ApiCall, name: str) -> None:
        """Delete a key pair."""
        user = _user(call, _RULE + "delete", call.single("user_id"))
        self._catalog.delete_keypair(call.caller, user_id=user, name=name)
        call.status = None if call.at_least(2) else 202

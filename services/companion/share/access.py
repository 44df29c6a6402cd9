# SPDX-License-Identifier: Apache-2.0
"""Who may mount a share: actions of shares, and `/v2/share-access-rules` (2.45)."""

from typing import Any

import falcon
from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.share import listing, locks, records
from services.companion.share.call import ShareCall, call_of
from services.companion.share.parts import Parts
from services.companion.share.records import Row, stamp
from services.companion.store import tables
from services.companion.volume.bodies import metadata, truth
from services.companion.web import fields
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, Field, nullable, one_of, prefix, text

_RULES, _LOCKED_RULES = 45, 82
_HIDDEN = "******"
_r = tables.share_access_rules.c


def _address(value: Any) -> str:
    """An address or a network, as it was given: clients look for just that."""
    prefix(value)
    # A zone behind an IPv6 address may hold any character; exports(5) must not see it.
    if "%" in value:
        raise BadValue("an address of one link only.")
    return str(value)


_ALLOW = (
    Field("access_type", one_of("ip"), required=True),
    Field("access_to", _address, required=True),
    Field("access_level", one_of("rw", "ro"), default="rw"),
    Field("metadata", nullable(metadata)),
    Field("lock_visibility", truth, default=False),
    Field("lock_deletion", truth, default=False),
    Field("lock_reason", nullable(text(1023)), default=None),
)
_DENY = (Field("access_id", text(255), required=True), Field("unrestrict", truth, default=False))


class ShareActions:
    """`POST /v2/shares/{share_id}/action`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_post(self, req: falcon.Request, resp: falcon.Response, share_id: str) -> None:
        """Let somebody in or out, or list who is."""
        call, body = call_of(req), read_json(req)
        given = body if isinstance(body, dict) else {}
        if isinstance(given.get("allow_access"), dict):
            answer(resp, {"access": self._allow(call, share_id, given["allow_access"])})
        elif isinstance(given.get("deny_access"), dict):
            self._deny(call, share_id, given["deny_access"])
            resp.status = 202
        elif "access_list" in given and not call.at_least(_RULES):
            answer(resp, {"access_list": _list(self._parts, call, share_id)})
        else:
            raise Fault(400, "There is no such action.")

    def _allow(self, call: ShareCall, share_id: str, body: Row) -> Row:
        parts = self._parts
        if not call.at_least(_LOCKED_RULES):
            body = {name: value for name, value in body.items() if not name.startswith("lock_")}
        given = fields.on_create(_ALLOW, body)
        row: Row = {
            "id": new_uuid(), "share_id": share_id, "access_type": given["access_type"],
            "access_to": given["access_to"], "access_level": given["access_level"],
            "state": records.TO_APPLY, "metadata": given.get("metadata") or {},
            "created_at": stamp(parts.clock), "updated_at": None,
        }  # fmt: skip
        with parts.store.write() as conn:
            share = records.find_own(conn, call, share_id)
            if share["status"] != records.AVAILABLE:
                raise Fault(400, f"Share {share_id} is {share['status']}, not available.")
            same = (_r.share_id == share_id, _r.access_to == row["access_to"])
            if records.count(conn, tables.share_access_rules, *same):
                raise Fault(400, f"Share access ip:{row['access_to']} exists.")
            conn.execute(insert(tables.share_access_rules).values(row))
            for action, name in (("show", "lock_visibility"), ("delete", "lock_deletion")):
                if given[name]:
                    locks.add(
                        conn, call, parts.clock, share, resource_id=row["id"],
                        resource_type=locks.RULE, resource_action=action,
                        lock_reason=given["lock_reason"],
                    )  # fmt: skip
            parts.jobs.add(conn, "share-access", share_id)
        parts.jobs.wake()
        return _show(row)

    def _deny(self, call: ShareCall, share_id: str, body: Row) -> None:
        parts, given = self._parts, fields.on_create(_DENY, body)
        with parts.store.write() as conn:
            records.find_own(conn, call, share_id)
            rule = records.find_rule(conn, call, given["access_id"])
            if rule["share_id"] != share_id:
                raise Fault(404, f"Access rule {rule['id']} is of another share.")
            if given["unrestrict"] and call.at_least(_LOCKED_RULES):
                locks.release_all(conn, call, rule["id"])
            if held := locks.ids(conn, rule["id"], "delete"):
                raise Fault(403, f"Resource lock/s [{', '.join(held)}] prevent delete action.")
            values = {"state": records.TO_DENY, "updated_at": stamp(parts.clock)}
            conn.execute(
                update(tables.share_access_rules).where(_r.id == rule["id"]).values(values)
            )
            parts.jobs.add(conn, "share-access", share_id)
        parts.jobs.wake()


class AccessRules:
    """`/v2/share-access-rules`, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Those of one share."""
        call, given = call_of(req), listing.asked(req)
        call.needs(_RULES)
        if "share_id" not in given:
            raise Fault(400, "The parameter share_id is needed.")
        answer(resp, {"access_list": _list(self._parts, call, given["share_id"])})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, rule_id: str) -> None:
        """One rule."""
        call = call_of(req)
        call.needs(_RULES)
        with self._parts.store.read() as conn:
            rule = records.find_rule(conn, call, rule_id)
            answer(resp, {"access": _seen(conn, call, rule)})


def _list(parts: Parts, call: ShareCall, share_id: str) -> list[Row]:
    with parts.store.read() as conn:
        share = records.find(conn, call, share_id)
        if not (call.sees_everything or call.owns(share)):
            raise Fault(403, "Policy doesn't allow this to be performed.")
        wanted = select(tables.share_access_rules).where(_r.share_id == share_id)
        found = conn.execute(wanted.order_by(_r.created_at, _r.id)).mappings()
        return [_seen(conn, call, dict(row)) for row in found]


def _seen(conn: Connection, call: ShareCall, rule: Row) -> Row:
    """A rule as the caller may see it."""
    seen = _show(rule)
    return seen if locks.may_see(conn, call, rule) else {**seen, "access_to": _HIDDEN}


def _show(rule: Row) -> Row:
    return {**rule, "access_key": None}

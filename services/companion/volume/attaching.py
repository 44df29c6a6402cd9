# SPDX-License-Identifier: Apache-2.0
"""How volumes come to instances and leave them: the rules behind attachments and actions.

An attachment is `reserved` (an instance will have the volume), `attaching` (a host has the
connection) or `attached`; the volume's status follows from all of its attachments.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.ids import new_uuid
from services.companion.store import tables
from services.companion.volume.backend import Backend
from services.companion.volume.records import (
    ATTACHING,
    AVAILABLE,
    DETACHING,
    IN_USE,
    RESERVED,
    Row,
    attachments,
    change,
    remove,
    stamp,
)
from services.companion.volume.views import ATTACHED
from services.companion.web.faults import Fault

READ_ONLY, READ_WRITE = "ro", "rw"
# What a volume's status may be for its attachments to decide about it.
_OURS = frozenset(
    (AVAILABLE, RESERVED, ATTACHING, IN_USE, DETACHING, "error_attaching", "error_detaching")
)
_a = tables.volume_attachments.c


def file_name(volume: Row) -> str:
    """The name under which the backend has the volume's data."""
    return f"volume-{volume['id']}"


def status_by(all_of_them: Sequence[Row]) -> str:
    """The status of a volume that has these attachments."""
    statuses = {attachment["status"] for attachment in all_of_them}
    for found, status in ((ATTACHED, IN_USE), (ATTACHING, ATTACHING), (RESERVED, RESERVED)):
        if found in statuses:
            return status
    return AVAILABLE


def settle(conn: Connection, volume: Row, clock: Clock) -> Row:
    """The volume, its status being what its attachments say, unless something else goes on."""
    now = attachments(conn, _a.volume_id == volume["id"])
    if volume["status"] in _OURS:
        volume = change(conn, volume, clock, status=status_by(now))
    return {**volume, "attachments": now}


def reserve(
    conn: Connection, volume: Row, clock: Clock, *, instance_uuid: str | None, mode: str | None
) -> Row:
    """A new attachment, reserved. Raises Fault 400.

    A volume that has an attachment may have another one only where it is made for several
    instances, or for the same instance (which moves, say).
    """
    same = instance_uuid is not None and any(
        attachment["instance_uuid"] == instance_uuid for attachment in volume["attachments"]
    )
    free = (AVAILABLE, IN_USE) if volume["multiattach"] else (AVAILABLE,)
    if volume["status"] not in free and not (same and volume["status"] in _OURS):
        raise Fault(
            400,
            f"Invalid volume: Volume {volume['id']} status must be {' or '.join(free)} to "
            f"reserve, but the current status is {volume['status']}.",
        )
    mode = mode or (READ_ONLY if volume["readonly"] else READ_WRITE)
    _must_allow(volume, mode)
    row: Row = {
        "id": new_uuid(), "volume_id": volume["id"], "project_id": volume["project_id"],
        "instance_uuid": instance_uuid, "attached_host": None, "mountpoint": None,
        "attach_mode": mode, "status": RESERVED, "connector": None, "connection_info": None,
        "created_at": stamp(clock), "attached_at": None,
    }  # fmt: skip
    conn.execute(insert(tables.volume_attachments).values(row))
    if not same:
        # Also beside others: nobody comes in between until it is known how this one ends.
        change(conn, volume, clock, status=RESERVED)
    return row


def connect(
    conn: Connection,
    volume: Row,
    attachment: Row,
    clock: Clock,
    backend: Backend,
    connector: dict[str, Any],
) -> Row:
    """Give the host of `connector` the connection; the attachment as it is then.

    Again: the connection that the connector asks for now. Raises Fault 400.
    """
    mode = str(connector.get("mode") or attachment["attach_mode"])
    _must_allow(volume, mode)
    info = {
        **connection_info(volume, backend, connector, mode)["data"],
        "driver_volume_type": backend.driver_volume_type,
        "attachment_id": attachment["id"],
    }
    values: Row = {
        "connector": connector,
        "connection_info": info,
        "attach_mode": mode,
        "attached_host": _word(connector, "host"),
        "mountpoint": _word(connector, "mountpoint"),
    }
    if attachment["status"] == RESERVED:
        values["status"] = ATTACHING
    return _change(conn, attachment, values)


def place(conn: Connection, attachment: Row, values: Row) -> Row:
    """Note the host and the mount point of an attachment without a connector."""
    return _change(conn, attachment, values)


def complete(conn: Connection, attachment: Row, clock: Clock) -> Row:
    """The instance has it. Again: nothing changes."""
    if attachment["status"] == ATTACHED:
        return attachment
    return _change(conn, attachment, {"status": ATTACHED, "attached_at": stamp(clock)})


def release(conn: Connection, volume: Row, attachment: Row, clock: Clock, backend: Backend) -> Row:
    """Take an attachment away; the volume as it is then."""
    if attachment["connector"] is not None:
        backend.disconnect(file_name(volume), attachment["connector"])
    remove(conn, tables.volume_attachments, attachment["id"])
    return settle(conn, volume, clock)


def connection_info(
    volume: Row, backend: Backend, connector: dict[str, Any], mode: str
) -> dict[str, Any]:
    """How a host reaches the volume, nested as `os-initialize_connection` answers."""
    return {
        "driver_volume_type": backend.driver_volume_type,
        "data": {
            **backend.connection(file_name(volume), connector),
            "volume_id": volume["id"],
            "access_mode": mode,
            "encrypted": False,
            "qos_specs": None,
            "cacheable": False,
        },
    }


def _must_allow(volume: Row, mode: str) -> None:
    if mode not in (READ_ONLY, READ_WRITE):
        raise Fault(400, "The mode of an attachment is 'ro' or 'rw'.")
    if volume["readonly"] and mode != READ_ONLY:
        raise Fault(
            400, f"Invalid attaching mode '{mode}' for volume {volume['id']}, which is read-only."
        )


def _change(conn: Connection, attachment: Row, values: Row) -> Row:
    ours = _a.id == attachment["id"]
    conn.execute(update(tables.volume_attachments).where(ours).values(values))
    return {**attachment, **values}


def _word(connector: dict[str, Any], name: str) -> str | None:
    value = connector.get(name)
    return None if value is None else str(value)[:255]

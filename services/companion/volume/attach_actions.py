# SPDX-License-Identifier: Apache-2.0
"""Actions that bring a volume to an instance and back, as before there were attachments."""

from sqlalchemy.engine import Connection

from services.companion.volume import attaching, records
from services.companion.volume.bodies import connector_of
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import ATTACHING, AVAILABLE, DETACHING, IN_USE, Row
from services.companion.volume.views import ATTACHED
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, shown, text

_ATTACH = (
    Field("instance_uuid", nullable(text(255))),
    Field("host_name", nullable(text(255))),
    Field("mountpoint", nullable(text(255))),
    Field("mode", nullable(text(2))),
)


def reserve(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Nobody else may attach it from now on."""
    free = (AVAILABLE, IN_USE) if volume["multiattach"] else (AVAILABLE,)
    records.must_be_in(volume, free, "reserve")
    records.change(conn, volume, parts.clock, status=ATTACHING)


def unreserve(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """As before `os-reserve`. Again: nothing."""
    if volume["status"] == ATTACHING:
        attaching.settle(conn, volume, parts.clock)


def begin_detaching(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> None:
    """It is about to leave its instance."""
    if volume["status"] != IN_USE or not _attached(volume):
        raise Fault(
            400,
            "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and "
            "attach_status must be 'attached' to detach.",
        )
    records.change(conn, volume, parts.clock, status=DETACHING)


def roll_detaching(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> None:
    """It stays after all. Again: nothing."""
    if volume["status"] == DETACHING:
        records.change(conn, volume, parts.clock, status=IN_USE)


def attach(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """An instance, or a host, has it. Again, for the same: nothing."""
    values = fields.on_create(_ATTACH, given)
    server, host = values.get("instance_uuid"), values.get("host_name")
    if bool(server) == bool(host):
        raise Fault(
            400,
            "Invalid request to attach volume to an invalid target: name an instance or a host, "
            "and not both.",
        )
    for known in volume["attachments"]:
        if known["status"] == ATTACHED and known["instance_uuid"] == server and (
            server or known["attached_host"] == host
        ):  # fmt: skip
            return
    reserved = volume["status"] == ATTACHING
    allowed = (AVAILABLE, ATTACHING, IN_USE) if volume["multiattach"] else (AVAILABLE, ATTACHING)
    records.must_be_in(volume, allowed, "attach")
    free = {**volume, "status": AVAILABLE} if reserved else volume
    attachment = attaching.reserve(
        conn, free, parts.clock, instance_uuid=server or None, mode=values.get("mode")
    )
    place = {"mountpoint": values.get("mountpoint"), "attached_host": host or None}
    attachment = attaching.place(conn, attachment, place)
    attaching.complete(conn, attachment, parts.clock)
    attaching.settle(conn, {**volume, "status": ATTACHING}, parts.clock)


def detach(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """It left. Raises Fault 400 when it has several attachments and none is named."""
    records.must_not_be_locked(volume, "Detaching")
    _release(conn, parts, volume, given.get("attachment_id"))


def force_detach(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """It left, whatever its instance says."""
    _release(conn, parts, volume, given.get("attachment_id"))


def initialize_connection(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> Row:
    """How the host that has this connector reaches it."""
    connector = connector_of(given)
    mode = attaching.READ_ONLY if volume["readonly"] else attaching.READ_WRITE
    info = attaching.connection_info(volume, parts.backend, connector, mode)
    return {"connection_info": info}


def terminate_connection(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> None:
    """The host does not reach it any more. Again: nothing."""
    parts.backend.disconnect(attaching.file_name(volume), connector_of(given))


def _attached(volume: Row) -> bool:
    return any(attachment["status"] == ATTACHED for attachment in volume["attachments"])


def _release(conn: Connection, parts: Parts, volume: Row, attachment_id: object) -> None:
    found = volume["attachments"]
    if attachment_id is not None:
        found = [attachment for attachment in found if attachment["id"] == attachment_id]
        if not found:
            raise Fault(404, f"Volume attachment {shown(attachment_id)} could not be found.")
    elif len(found) > 1:
        raise Fault(
            400,
            "Invalid volume: Detach volume failed: More than one attachment, but no attachment_id "
            "provided.",
        )
    elif not found:
        # Reserved or half detached by the old way: nobody has it.
        attaching.settle(conn, volume, parts.clock)
        return
    attaching.release(conn, volume, found[0], parts.clock, parts.backend)

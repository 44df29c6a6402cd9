# SPDX-License-Identifier: Apache-2.0
"""`POST /v3/volumes/{id}/action`: the word in the body says what is done.

Each action gets the call, the transaction, the volume and what stands under its word, and returns
what to answer with. Which there are, who may do them and since when is one table, at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass

import falcon
from sqlalchemy.engine import Connection

from services.companion.volume import (
    attach_actions,
    data_actions,
    flag_actions,
    image_actions,
    records,
)
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

Do = Callable[[Connection, VolumeCall, Parts, Row, Row], Row | None]


@dataclass(frozen=True)
class Action:
    """One action. `status` of its success; `admin` for administrators and services alone."""

    do: Do
    status: int = 202
    admin: bool = False
    writes: bool = True
    since: int = 0
    detaches: bool = False


class VolumeActions:
    """Actions on a volume."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_post(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Do one."""
        call, parts = call_of(req), self._parts
        body = read_json(req)
        if not isinstance(body, dict) or len(body) != 1:
            raise Fault(400, "The request body must name one action.")
        [(word, given)] = body.items()
        action = _ACTIONS.get(word)
        if action is None or not call.at_least(action.since):
            raise Fault(400, f"There is no such action: {shown(word)}")
        if action.admin:
            call.must_be_admin()
        if action.writes:
            call.must_write()
        details = given if isinstance(given, dict) else {}
        if action.detaches:
            self._ask_whether_it_may_go(call, item_id, details)
        with parts.store.write() as conn:
            volume = records.find(conn, call, item_id)
            result = action.do(conn, call, parts, volume, details)
        parts.jobs.wake()
        resp.status = action.status
        if result is not None:
            answer(resp, result, action.status)

    def _ask_whether_it_may_go(self, call: VolumeCall, item_id: str, given: Row) -> None:
        """Raise Fault 409 when a server has it. That takes time: outside of any transaction."""
        with self._parts.store.read() as conn:
            volume = records.find(conn, call, item_id)
        for attachment in volume["attachments"]:
            if given.get("attachment_id") in (None, attachment["id"]):
                self._parts.guard.must_let_go(call, attachment)


_ACTIONS: dict[str, Action] = {
    "os-reserve": Action(attach_actions.reserve),
    "os-unreserve": Action(attach_actions.unreserve),
    "os-begin_detaching": Action(attach_actions.begin_detaching),
    "os-roll_detaching": Action(attach_actions.roll_detaching),
    "os-attach": Action(attach_actions.attach),
    "os-detach": Action(attach_actions.detach, detaches=True),
    "os-force_detach": Action(attach_actions.force_detach, admin=True),
    "os-initialize_connection": Action(attach_actions.initialize_connection, 200),
    "os-terminate_connection": Action(attach_actions.terminate_connection, detaches=True),
    "os-set_bootable": Action(flag_actions.set_bootable, 200),
    "os-update_readonly_flag": Action(flag_actions.update_readonly_flag),
    "os-reset_status": Action(flag_actions.reset_status, admin=True),
    "os-force_delete": Action(flag_actions.force_delete, admin=True),
    "os-retype": Action(flag_actions.retype),
    "os-set_image_metadata": Action(image_actions.set_metadata, 200),
    "os-unset_image_metadata": Action(image_actions.unset_metadata, 200),
    "os-show_image_metadata": Action(image_actions.show_metadata, 200, writes=False),
    "os-volume_upload_image": Action(image_actions.upload),
    "os-reimage": Action(image_actions.reimage, since=68),
    "os-extend": Action(data_actions.extend),
    "revert": Action(data_actions.revert, since=40),
    "os-migrate_volume": Action(data_actions.migrate, admin=True),
    "os-migrate_volume_completion": Action(data_actions.complete_migration, 200, admin=True),
}

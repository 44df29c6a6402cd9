# SPDX-License-Identifier: Apache-2.0
"""Actions that change a server's flavor or its host."""

from typing import Any

from common.errors import Invalid
from common.policy import PolicyForbids
from common.rpc.conductor.moves import Moves
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.types import TEXT_OR_NULL, Field, Record, is_true
from services.api.declare.view import Raw
from services.api.resources.servers import bodies
from services.api.resources.servers.create import made_password
from services.api.responder import responder

_SERVERS = "os_compute_api:servers:"
_MIGRATE = "os_compute_api:os-migrate-server:"
_EVACUATE_FORCE, _LIVE_FORCE, _LIVE_IN_BACKGROUND = 29, 30, 34
_PASSWORD = Raw(Record([Field("adminPass", TEXT_OR_NULL, required=False)], null=True))


class MoveActions:
    """resize, confirmResize, revertResize, migrate, os-migrateLive, evacuate."""

    def __init__(self, moves: Moves, *, show_password: bool) -> None:
        self._moves = moves
        self._show_password = show_password

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "resize": self.resize,
            "confirmResize": self.confirm_resize,
            "revertResize": self.revert_resize,
            "migrate": self.migrate,
            "os-migrateLive": self.migrate_live,
            "evacuate": self.evacuate,
        }

    @responder(policy=_SERVERS + "resize", body=bodies.RESIZE, status=202)
    def resize(self, call: ApiCall, server_id: str) -> None:
        """Give a server another flavor."""
        self._moves.resize(
            call.caller,
            server_id,
            flavorid=str(call.body["flavorRef"]).rsplit("/", 1)[-1],
            disk_config=call.body.get("OS-DCF:diskConfig"),
        )

    @responder(policy=_SERVERS + "confirm_resize", body=bodies.CONFIRM_RESIZE, status=204)
    def confirm_resize(self, call: ApiCall, server_id: str) -> None:
        """Leave a server where it was moved to."""
        self._moves.confirm_resize(call.caller, server_id)

    @responder(policy=_SERVERS + "revert_resize", body=bodies.REVERT_RESIZE, status=202)
    def revert_resize(self, call: ApiCall, server_id: str) -> None:
        """Bring a server back to where it was."""
        self._moves.revert_resize(call.caller, server_id)

    @responder(body=bodies.MIGRATE, status=202)
    def migrate(self, call: ApiCall, server_id: str) -> None:
        """Move a server to another host."""
        body = call.body if call.at_least(56) and call.body else {}
        _permit(call, _MIGRATE + ("migrate:host" if "host" in body else "migrate"))
        self._moves.migrate(call.caller, server_id, host=body.get("host"))

    @responder(body=bodies.MIGRATE_LIVE, status=202)
    def migrate_live(self, call: ApiCall, server_id: str) -> None:
        """Move a running server to another host."""
        host = call.body["host"]
        _permit(call, _MIGRATE + ("migrate_live:host" if host else "migrate_live"))
        block = call.body["block_migration"]
        self._moves.live_migrate(
            call.caller,
            server_id,
            host=host,
            block_migration=None if block == "auto" else is_true(block),
            forced=_is_forced(call, host, since=_LIVE_FORCE),
            check_first=not call.at_least(_LIVE_IN_BACKGROUND),
        )

    @responder(policy="os_compute_api:os-evacuate", body=bodies.EVACUATE, returns=_PASSWORD)
    def evacuate(self, call: ApiCall, server_id: str) -> dict[str, Any] | None:
        """Build a server anew whose host is down."""
        body = call.body
        shared = is_true(body.get("onSharedStorage", False))
        if shared and "adminPass" in body:
            raise Invalid("admin password can't be changed on existing disk")
        password = body.get("adminPass") or made_password()
        self._moves.evacuate(
            call.caller,
            server_id,
            host=body.get("host"),
            admin_password=None if shared else password,
            stopped=call.at_least(95),
            forced=_is_forced(call, body.get("host"), since=_EVACUATE_FORCE),
        )
        if call.at_least(14):
            return None
        return {"adminPass": None if shared else password} if self._show_password else {}


def _is_forced(call: ApiCall, host: str | None, *, since: int) -> bool:
    """Whether the host that is named is to be heeded past the scheduler: `force` says so, and
    before there was one, every host was. Raises: Invalid.
    """
    if not call.at_least(since):
        return host is not None
    force = is_true(call.body.get("force", False))
    if force and not host:
        raise Invalid("Can't force to a non-provided destination")
    return force


def _permit(call: ApiCall, rule: str) -> None:
    if not call.allows(rule):
        raise PolicyForbids(rule=rule)

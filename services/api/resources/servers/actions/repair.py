# SPDX-License-Identifier: Apache-2.0
"""Actions that start a server from another image: rescue, unrescue, rebuild."""

from typing import Any

from common.errors import Forbidden
from common.objects.rebuild import NewContent
from common.rpc.conductor.repair import Repair
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.types import TEXT, Field, Plain, Record, is_true
from services.api.declare.view import Raw
from services.api.lookups import Lookups
from services.api.resources.servers import bodies, views
from services.api.resources.servers.create import made_password
from services.api.resources.servers.personality import injected_files
from services.api.responder import responder

_REBUILD = "os_compute_api:servers:rebuild"
_CERTIFICATES = _REBUILD + ":trusted_certs"
_PASSWORD = Raw(Record([Field("adminPass", TEXT, required=False)]))
_REBUILT = Raw(Plain({"type": "object"}))
# The API's names of what a rebuild changes beside the image, and Instance's.
_CHANGES = {
    "name": "name", "description": "description", "hostname": "hostname", "metadata": "metadata",
    "accessIPv4": "access_ip_v4", "accessIPv6": "access_ip_v6", "OS-DCF:diskConfig": "disk_config",
    "key_name": "key_name", "user_data": "user_data", "trusted_image_certificates": "trusted_certs",
}  # fmt: skip


class RepairActions:
    """rescue, unrescue, rebuild. Passwords are told where `show_password` is set."""

    def __init__(self, repair: Repair, lookups: Lookups, *, show_password: bool) -> None:
        self._repair = repair
        self._lookups = lookups
        self._show_password = show_password

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"rescue": self.rescue, "unrescue": self.unrescue, "rebuild": self.rebuild}

    @responder(policy="os_compute_api:os-rescue", body=bodies.RESCUE, returns=_PASSWORD)
    def rescue(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Start a server from a rescue image."""
        body = call.body or {}
        password = body.get("adminPass") or made_password()
        image = self._lookups.image(call, body.get("rescue_image_ref"))
        self._repair.rescue(
            call.caller, server_id, password=password, image=image, volume_backed=call.at_least(87)
        )
        return {"adminPass": password} if self._show_password else {}

    @responder(policy="os_compute_api:os-unrescue", body=bodies.UNRESCUE, status=202)
    def unrescue(self, call: ApiCall, server_id: str) -> None:
        """Start a rescued server from its own disk again."""
        self._repair.unrescue(call.caller, server_id)

    @responder(policy=_REBUILD, body=bodies.REBUILD, returns=_REBUILT, status=202)
    def rebuild(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Make a server anew from an image."""
        body = call.body
        if body.get("trusted_image_certificates") and not call.allows(_CERTIFICATES):
            raise Forbidden(f"Policy doesn't allow {_CERTIFICATES} to be performed.")
        changes = {ours: body[name] for name, ours in _CHANGES.items() if name in body}
        if "name" in changes:
            changes["name"] = changes["name"].strip()
        image = self._lookups.image(call, body["imageRef"])
        assert image is not None
        content = NewContent(
            image=image,
            admin_password=body.get("adminPass") or made_password(),
            changes=changes,
            injected_files=injected_files(body),
            preserve_ephemeral=is_true(body.get("preserve_ephemeral", False)),
            allows_other_image=call.at_least(93),
        )
        rebuilt = self._repair.rebuild(call.caller, server_id, content=content)
        call.location = call.links.self_href("servers", server_id)
        shown = views.REBUILT.show(rebuilt, call)
        if self._show_password:
            shown["adminPass"] = content.admin_password
        return {"server": shown}

# SPDX-License-Identifier: Apache-2.0
"""The shared file system service (Shared File Systems API v2), as kilonova itself and for a user.

A host that is to mount a share is let in by an *access rule*. As long as a host has a share, a
*resource lock* in the host's name keeps the share from being deleted; the rule is locked as well:
users neither take it away nor learn the addresses of hosts.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from common.clients.session import Refused, ServiceSession
from common.clock import Clock, SystemClock
from common.errors import InvalidShare, ShareNotFound, Unavailable
from common.objects.share import Share

_TYPE, _VERSION = "shared-file-system", "v2"
# Resource locks came with 2.81, access rules that are made with locks with 2.82.
_HEADERS = {"X-OpenStack-Manila-API-Version": "2.82"}
_LOOK_AGAIN_S = 0.5
_CEPHFS, _CEPH_USER = "CEPHFS", "nova"
# Begins the reason of every lock of kilonova's; the host's address ends it.
_REASON = "kilonova: a server has it on host "
_BEING_DENIED = frozenset(("queued_to_deny", "denying"))


class ShareClient:
    """Shares of instances, with kilonova's own credentials.

    `access_timeout_s` is how long `allow` waits for the service to act.
    """

    def __init__(
        self,
        session: ServiceSession,
        access_timeout_s: float = 10,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._access_timeout_s = access_timeout_s
        self._clock = clock or SystemClock()
        self._pause = pause

    def get(self, share_id: str) -> Share:
        """A share. Raises: ShareNotFound, Unavailable."""
        return _get(self._session, None, share_id)

    def allow(self, share_id: str, host_address: str) -> str:
        """Let a host mount a share, and keep the share from being deleted; the access rule's id.

        Returns once the rule is active. Again: the existing one. What fails may leave a lock or a
        rule, which `deny` takes away.
        Raises: ShareNotFound; InvalidShare (the service refuses); Unavailable, also when the rule
        is not active in time.
        Blocks: for `access_timeout_s` at most, and as long as the service takes to answer.
        """
        share = self.get(share_id)
        reason = _REASON + host_address
        if all(lock["lock_reason"] != reason for lock in self._locks(share_id)):
            self._lock(share_id, reason)
        give_up_at = self._clock.monotonic() + self._access_timeout_s
        while True:
            rule = self._rule(share, host_address) or self._grant(share, host_address, reason)
            if rule["state"] == "active":
                return str(rule["id"])
            if rule["state"] == "error":
                raise InvalidShare(share=share_id, reason=f"{host_address} was not let in")
            if self._clock.monotonic() >= give_up_at:
                raise Unavailable(
                    f"{host_address} may not mount share {share_id} yet: its access rule is "
                    f"{rule['state']}."
                )
            self._pause(_LOOK_AGAIN_S)

    def deny(self, share_id: str, host_address: str) -> None:
        """Let a host mount a share no longer, and let the share be deleted as far as it goes.

        Again, or the share is gone: fine. Raises: InvalidShare (the service refuses), Unavailable.
        """
        try:
            share = self.get(share_id)
            locks, reason = self._locks(share_id), _REASON + host_address
            others = any(lock["lock_reason"] != reason for lock in locks)
            # All hosts are the same user to Ceph: the last one takes the rule with it.
            if not (share.protocol == _CEPHFS and others):
                self._revoke(share, host_address)
        except ShareNotFound:
            return
        for lock in locks:
            if lock["lock_reason"] == reason:
                self._unlock(lock["id"])

    # --- parts ---

    def _rule(self, share: Share, host_address: str) -> dict[str, Any] | None:
        """The access rule for the host, if there is one."""
        kind, to = _access(share, host_address)
        found = self._call("GET", "/share-access-rules", share.id, params={"share_id": share.id})
        rules = (dict(r) for r in found["access_list"])
        return next((r for r in rules if (r["access_type"], r["access_to"]) == (kind, to)), None)

    def _grant(self, share: Share, host_address: str, reason: str) -> dict[str, Any]:
        kind, to = _access(share, host_address)
        wanted = {
            "access_type": kind, "access_to": to, "access_level": "rw",
            "lock_visibility": True, "lock_deletion": True, "lock_reason": reason,
        }  # fmt: skip
        try:
            return dict(self._act(share.id, {"allow_access": wanted})["access"])
        except InvalidShare:
            # Somebody may just have made it for another server on the host.
            rule = self._rule(share, host_address)
            if rule is None:
                raise
            return rule

    def _revoke(self, share: Share, host_address: str) -> None:
        rule = self._rule(share, host_address)
        if rule is not None and rule["state"] not in _BEING_DENIED:
            self._act(share.id, {"deny_access": {"access_id": rule["id"], "unrestrict": True}})

    def _locks(self, share_id: str) -> list[dict[str, Any]]:
        """kilonova's own locks of the share against its deletion."""
        params = {"resource_id": share_id, "resource_action": "delete", "all_projects": "True"}
        found = self._call("GET", "/resource-locks", share_id, params=params)["resource_locks"]
        return [
            dict(lock)
            for lock in found
            if str(lock.get("lock_reason")).startswith(_REASON) and lock["lock_context"] != "user"
        ]

    def _lock(self, share_id: str, reason: str) -> None:
        wanted = {
            "resource_id": share_id, "resource_type": "share", "resource_action": "delete",
            "lock_reason": reason,
        }  # fmt: skip
        self._call("POST", "/resource-locks", share_id, json={"resource_lock": wanted})

    def _unlock(self, lock_id: str) -> None:
        try:
            self._call("DELETE", f"/resource-locks/{quote(lock_id, safe='')}", lock_id)
        except ShareNotFound:
            return

    def _act(self, share_id: str, action: dict[str, Any]) -> Any:
        return self._call("POST", _path(share_id) + "/action", share_id, json=action)

    def _call(self, method: str, path: str, share_id: str, **options: Any) -> Any:
        return _call(self._session, None, method, path, share_id, **options)


class UserShareClient:
    """What a user may see of shares, with the user's own token."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def get(self, token: str, share_id: str) -> Share:
        """A share as the user sees it. Raises: ShareNotFound, Unavailable."""
        return _get(self._session, token, share_id)


def _get(session: ServiceSession, token: str | None, share_id: str) -> Share:
    path = _path(share_id)
    found = _call(session, token, "GET", path, share_id)["share"]
    exports = _call(session, token, "GET", path + "/export_locations", share_id)
    paths = [e["path"] for e in sorted(exports["export_locations"], key=_least_preferred)]
    return Share(
        id=found["id"],
        status=found["status"],
        protocol=str(found["share_proto"]).upper(),
        project_id=found.get("project_id"),
        size_gib=int(found.get("size") or 0),
        export_location=paths[0] if paths else None,
    )


def _least_preferred(export: dict[str, Any]) -> tuple[bool, bool]:
    return bool(export.get("is_admin_only")), not export.get("preferred")


def _call(
    session: ServiceSession,
    token: str | None,
    method: str,
    path: str,
    share_id: str,
    **options: Any,
) -> Any:
    try:
        response = session.request(
            _TYPE, _VERSION, method, path, token=token, headers=_HEADERS, **options
        )
    except Refused as refused:
        # To a user, what belongs to others is not there.
        if refused.status == 404 or (token is not None and refused.status == 403):
            raise ShareNotFound(share=share_id) from refused
        raise InvalidShare(share=share_id, reason=str(refused)) from refused
    return response.json() if response.content else None


def _access(share: Share, host_address: str) -> tuple[str, str]:
    """Type and name by which a share of this protocol knows the host."""
    return ("cephx", _CEPH_USER) if share.protocol == _CEPHFS else ("ip", host_address)


def _path(share_id: str) -> str:
    return f"/shares/{quote(share_id, safe='')}"

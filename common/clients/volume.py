# SPDX-License-Identifier: Apache-2.0
"""The volume service (Block Storage API v3), as kilonova itself and on behalf of a user.

An attachment ties a volume to an instance: *reserved* while the instance is on no host, else with
the connector of its host. kilonova makes attachments with its own credentials. Volumes and
snapshots belong to the project of the token that makes them, so those are made with the user's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from common.clients.session import Refused, ServiceSession
from common.errors import (
    InvalidVolume,
    KilonovaError,
    SnapshotNotFound,
    Unavailable,
    VolumeNotFound,
    VolumeQuotaExceeded,
)
from common.objects.volume import Volume, VolumeConnection

_TYPE, _VERSION = "block-storage", "v3"
# Attachments that say when they are in use came with 3.44, rewriting a volume with 3.68.
_ATTACHMENTS, _REIMAGE = "3.44", "3.68"
# In a volume's metadata: for which disk of which server it was made.
_MARK = "made_for"
_INVALID = "Invalid volume: "
_NOT_MIGRATING = frozenset((None, "", "none", "success", "error"))


class VolumeClient:
    """Volumes of instances, with kilonova's own credentials."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def get(self, volume_id: str) -> Volume:
        """A volume. Raises: VolumeNotFound, Unavailable."""
        return _volume(self._call("GET", _path("volumes", volume_id), volume=volume_id)["volume"])

    def reserve(self, instance: str, volume_ids: Sequence[str]) -> tuple[VolumeConnection, ...]:
        """Keep volumes for an instance that is on no host yet.

        Again: the attachment of the first time. Raises: VolumeNotFound, InvalidVolume (somebody
        else has it), Unavailable.
        """
        existing = self._attachments(instance)
        return tuple(
            VolumeConnection(
                volume_id=volume_id,
                attachment_id=str(
                    (existing.get(volume_id) or [self._attach(instance, volume_id, None)])[0]["id"]
                ),
            )
            for volume_id in volume_ids
        )

    def reserve_anew(
        self, instance: str, volume_ids: Sequence[str]
    ) -> tuple[VolumeConnection, ...]:
        """Keep volumes for an instance that has left its host: nothing is connected any more.

        Again: fine. Raises: VolumeNotFound, InvalidVolume, Unavailable.
        """
        return self._replace(instance, [(volume_id, "") for volume_id in volume_ids], None, ())

    def connect(
        self,
        instance: str,
        connector: Mapping[str, Any],
        volumes: Sequence[tuple[str, str]],
        *,
        keep: Collection[str] = (),
    ) -> tuple[VolumeConnection, ...]:
        """Let the host with `connector` reach the (id, device name) pairs `volumes`.

        Other attachments of the instance to them end, but for those in `keep`.
        Again: attachments are made anew. Raises: VolumeNotFound, InvalidVolume, Unavailable.
        """
        return self._replace(instance, volumes, connector, keep)

    def complete(self, attachment_ids: Iterable[str]) -> None:
        """Say that the guest has the volumes. Again: it has. Raises: InvalidVolume, Unavailable."""
        for attachment_id in attachment_ids:
            path = _path("attachments", attachment_id) + "/action"
            self._call("POST", path, {"os-complete": None}, version=_ATTACHMENTS)

    def release(self, instance: str, volume_ids: Collection[str]) -> None:
        """End every attachment of the instance to these volumes.

        Again: what is gone is fine. Raises: Unavailable.
        """
        for volume_id, attachments in self._attachments(instance).items():
            if volume_id in volume_ids:
                self.drop(str(each["id"]) for each in attachments)

    def drop(self, attachment_ids: Iterable[str]) -> None:
        """End these attachments. Again: what is gone is fine. Raises: Unavailable."""
        for attachment_id in attachment_ids:
            self._delete(_path("attachments", attachment_id), version=_ATTACHMENTS)

    def begin_detaching(self, volume_id: str) -> None:
        """Show that the volume is to be detached. Again: it shows.

        One that several instances have shows it as long as any of them lets it go, which may end
        just now: then it is said anew. Raises: VolumeNotFound, InvalidVolume, Unavailable.
        """
        for last in (False, False, True):
            try:
                self._act(volume_id, {"os-begin_detaching": None})
            except InvalidVolume:
                status = self.get(volume_id).status
                if status == "detaching":
                    return
                if status != "in-use" or last:
                    raise
            else:
                return

    def roll_detaching(self, volume_id: str) -> None:
        """Show that it stays attached after all. Again, or gone: fine. Raises: Unavailable."""
        try:
            self._act(volume_id, {"os-roll_detaching": None})
        except (InvalidVolume, VolumeNotFound):
            return

    def reimage(self, volume_id: str, image_id: str) -> None:
        """Have the volume written with the image's data; an external event tells when it is.

        Again: once more. Raises: VolumeNotFound, InvalidVolume, Unavailable.
        """
        wanted = {"os-reimage": {"image_id": image_id, "reimage_reserved": True}}
        self._act(volume_id, wanted, version=_REIMAGE)

    def finish_migration(self, old_id: str, new_id: str, *, failed: bool) -> str:
        """Tell that an instance uses `new_id` in place of `old_id`; the id that stays.

        Again: fine. Raises: VolumeNotFound, InvalidVolume, Unavailable.
        """
        wanted = {"os-migrate_volume_completion": {"new_volume": new_id, "error": failed}}
        return str(self._act(old_id, wanted)["save_volume_id"])

    def show_snapshot(self, snapshot_id: str, *, status: str, progress: str) -> None:
        """Tell how an assisted snapshot goes; `progress` as `90%`. Again: the same.

        Raises: SnapshotNotFound, InvalidVolume, Unavailable.
        """
        wanted = {"os-update_snapshot_status": {"status": status, "progress": progress}}
        try:
            self._call("POST", _path("snapshots", snapshot_id) + "/action", wanted)
        except VolumeNotFound as missing:
            raise SnapshotNotFound(snapshot=snapshot_id) from missing

    def delete(self, volume_id: str) -> None:
        """Delete a volume. Again: fine. Raises: InvalidVolume (it is in use), Unavailable."""
        self._delete(_path("volumes", volume_id))

    # --- parts ---

    def _replace(
        self,
        instance: str,
        volumes: Sequence[tuple[str, str]],
        connector: Mapping[str, Any] | None,
        keep: Collection[str],
    ) -> tuple[VolumeConnection, ...]:
        existing = self._attachments(instance)
        made = []
        for volume_id, device in volumes:
            others = [a for a in existing.get(volume_id, ()) if a["id"] not in keep]
            reserved = next((a for a in others if a["status"] == "reserved"), None)
            attachment = self._settled(instance, volume_id, device, connector, reserved)
            self.drop(str(a["id"]) for a in others if a["id"] != attachment["id"])
            made.append(
                VolumeConnection(
                    volume_id=volume_id,
                    attachment_id=str(attachment["id"]),
                    connection=_connection(attachment) if connector else None,
                )
            )
        return tuple(made)

    def _settled(
        self,
        instance: str,
        volume_id: str,
        device: str,
        connector: Mapping[str, Any] | None,
        reserved: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The attachment that is to stay: the reserved one, if there is one, or a new one."""
        if connector is None:
            return reserved or self._attach(instance, volume_id, None)
        full = {**connector, "mountpoint": device}
        if reserved is None:
            return self._attach(instance, volume_id, full)
        path, body = _path("attachments", reserved["id"]), {"attachment": {"connector": full}}
        return self._call(  # type: ignore[no-any-return]
            "PUT", path, body, version=_ATTACHMENTS, volume=volume_id
        )["attachment"]

    def _attach(
        self, instance: str, volume_id: str, connector: dict[str, Any] | None
    ) -> dict[str, Any]:
        wanted: dict[str, Any] = {"instance_uuid": instance, "volume_uuid": volume_id}
        if connector is not None:
            wanted["connector"] = connector
        return self._call(  # type: ignore[no-any-return]
            "POST", "/attachments", {"attachment": wanted}, version=_ATTACHMENTS, volume=volume_id
        )["attachment"]

    def _attachments(self, instance: str) -> dict[str, list[dict[str, Any]]]:
        """Attachments of the instance, by volume."""
        params = {"instance_id": instance, "all_tenants": "True"}
        found = self._call("GET", "/attachments", params=params, version=_ATTACHMENTS)
        by_volume: dict[str, list[dict[str, Any]]] = {}
        for each in found["attachments"]:
            by_volume.setdefault(str(each["volume_id"]), []).append(each)
        return by_volume

    def _act(self, volume_id: str, action: Any, version: str | None = None) -> Any:
        path = _path("volumes", volume_id) + "/action"
        return self._call("POST", path, action, version=version, volume=volume_id)

    def _delete(self, path: str, version: str | None = None) -> None:
        try:
            self._call("DELETE", path, version=version)
        except VolumeNotFound:
            return

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Any = None,
        version: str | None = None,
        volume: str = "",
    ) -> Any:
        options = {k: v for k, v in (("json", body), ("params", params)) if v is not None}
        whole = f"/{self._session.project_id()}{path}"
        try:
            response = self._session.request(
                _TYPE, _VERSION, method, whole, headers=_headers(version), **options
            )
        except Refused as refused:
            raise _error(refused, VolumeNotFound(volume=volume or path)) from refused
        return response.json() if response.content else None


class UserVolumeClient:
    """What a user may do with volumes, with the user's own token."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def get(self, token: str, project_id: str, volume_id: str) -> Volume:
        """A volume as the user sees it. Raises: VolumeNotFound, Forbidden, Unavailable."""
        missing = VolumeNotFound(volume=volume_id)
        path = _path("volumes", volume_id)
        return _volume(self._json(token, project_id, "GET", path, missing)["volume"])

    def snapshot(self, token: str, project_id: str, snapshot_id: str) -> dict[str, Any]:
        """A snapshot as the volume service shows it. Raises: SnapshotNotFound, Unavailable."""
        missing = SnapshotNotFound(snapshot=snapshot_id)
        path = _path("snapshots", snapshot_id)
        return dict(self._json(token, project_id, "GET", path, missing)["snapshot"])

    def create(self, token: str, project_id: str, *, mark: str, **wanted: Any) -> Volume:
        """A new volume, which need not be ready yet; `wanted` has the Block Storage API's fields.

        `mark` is a word that no other volume has: one whose answer gets lost is found by it.
        Again: another one. Raises: InvalidVolume, VolumeQuotaExceeded, Unavailable.
        """
        volume = {k: v for k, v in wanted.items() if v is not None} | {"metadata": {_MARK: mark}}
        missing = InvalidVolume(reason="what it is to be made from is not there")
        try:
            made = self._json(
                token, project_id, "POST", "/volumes", missing, {"volume": volume},
                connect_retries=0,
            )["volume"]  # fmt: skip
        except Unavailable:
            made = self._marked(token, project_id, mark)
            if made is None:
                raise
        return _volume(made)

    def _marked(self, token: str, project_id: str, mark: str) -> dict[str, Any] | None:
        path = "/volumes/detail?" + urlencode({"metadata": str({_MARK: mark})})
        found = self._json(token, project_id, "GET", path, VolumeNotFound(volume=mark))["volumes"]
        return next((dict(v) for v in found if v.get("metadata", {}).get(_MARK) == mark), None)

    def delete(self, token: str, project_id: str, volume_id: str) -> None:
        """Delete a volume. Again: fine. Raises: InvalidVolume (it is in use), Unavailable."""
        try:
            missing = VolumeNotFound(volume=volume_id)
            self._json(token, project_id, "DELETE", _path("volumes", volume_id), missing)
        except VolumeNotFound:
            return

    def take_snapshot(
        self, token: str, project_id: str, volume_id: str, *, name: str, description: str
    ) -> dict[str, Any]:
        """A snapshot of a volume, which may be in use.

        Again: another one. Raises: VolumeNotFound, InvalidVolume, VolumeQuotaExceeded, Unavailable.
        """
        wanted = {"volume_id": volume_id, "name": name, "description": description, "force": True}
        missing = VolumeNotFound(volume=volume_id)
        return dict(
            self._json(token, project_id, "POST", "/snapshots", missing, {"snapshot": wanted})[
                "snapshot"
            ]
        )

    def request(self, token: str, project_id: str, method: str, path: str, **options: Any) -> Any:
        """Any other call of the user's, as the proxies of the Compute API need them.

        `path` is below `/v3/{project_id}`. Raises: Refused, Unavailable.
        """
        whole = f"/{quote(project_id, safe='')}{path}"
        return self._session.request(_TYPE, _VERSION, method, whole, token=token, **options)

    def _json(
        self,
        token: str,
        project_id: str,
        method: str,
        path: str,
        missing: KilonovaError,
        body: Any = None,
        **options: Any,
    ) -> Any:
        if body is not None:
            options["json"] = body
        try:
            response = self.request(token, project_id, method, path, **options)
        except Refused as refused:
            raise _error(refused, missing) from refused
        return response.json() if response.content else None


def _connection(attachment: dict[str, Any]) -> dict[str, Any] | None:
    """How a host connects, in the form that connectors know: type and data apart."""
    info = dict(attachment.get("connection_info") or {})
    if not info or "data" in info:
        return info or None
    return {"driver_volume_type": info.pop("driver_volume_type", None), "data": info}


def _path(collection: str, item_id: str) -> str:
    return f"/{collection}/{quote(str(item_id), safe='')}"


def _headers(version: str | None) -> dict[str, str]:
    return {"OpenStack-API-Version": f"volume {version}"} if version else {}


def _error(refused: Refused, missing: KilonovaError) -> KilonovaError:
    if refused.status == 404:
        return missing
    if refused.status == 413:
        return VolumeQuotaExceeded(reason=str(refused))
    # The service's own words often begin as ours do.
    return InvalidVolume(reason=str(refused).removeprefix(_INVALID))


def _volume(found: dict[str, Any]) -> Volume:
    migration = found.get("migration_status") or found.get("os-vol-mig-status-attr:migstat")
    return Volume(
        id=found["id"],
        status=found["status"],
        size_gib=int(found["size"]),
        bootable=str(found.get("bootable")).lower() == "true",
        multiattach=bool(found.get("multiattach")),
        encrypted=bool(found.get("encrypted")),
        availability_zone=found.get("availability_zone"),
        volume_type=found.get("volume_type"),
        project_id=found.get("os-vol-tenant-attr:tenant_id"),
        is_migrating=migration not in _NOT_MIGRATING,
        attached_to=tuple(each["server_id"] for each in found.get("attachments") or ()),
        image_properties={
            str(k): str(v) for k, v in (found.get("volume_image_metadata") or {}).items()
        },
    )

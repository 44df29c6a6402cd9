# SPDX-License-Identifier: Apache-2.0
"""Accepting that instances get shares, and lose them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import InvalidShare, ShareInUse, ShareNotFound, SharesNotSupported
from common.ids import NewUuid
from common.objects.instance import Instance
from common.objects.share import Share
from common.objects.share_mapping import HOST_TRAIT, ShareMapping, ShareStatus
from services.conductor.accept.admission import Admission, Operation
from services.conductor.db import compute_nodes, instances
from services.conductor.tasks.shares import AttachShare, DetachShare, ShareParams, changed

_ATTACH = Operation("create_share", AttachShare.name, None, interrupts=False)
_DETACH = Operation("delete_share", DetachShare.name, None, on_host=False, interrupts=False)
_PROTOCOLS = ("NFS", "CEPHFS")


class AcceptShares:
    """Each raises: InstanceNotFound, InstanceInvalidState."""

    def __init__(self, admission: Admission, *, new_uuid: NewUuid) -> None:
        self._admission = admission
        self._new_uuid = new_uuid

    def attach(
        self, ctx: RequestContext, instance: str, share: Share, tag: str | None
    ) -> ShareMapping:
        """Insert a task.

        Raises: InvalidShare, ShareInUse, SharesNotSupported, InstanceNotReady (it is nowhere).
        """
        mapping = ShareMapping(
            uuid=self._new_uuid(),
            share_id=share.id,
            tag=tag or share.id,
            export_location=_mountable(share),
            protocol=share.protocol,
        )

        def prepare(conn: Connection, found: Instance) -> Mapping[str, Any]:
            _check_host(conn, found)
            _check_new(found, mapping)
            instances.change(conn, instance, shares=(*found.shares, mapping))
            return _params(mapping)

        self._admission.admit(ctx, instance, _ATTACH, prepare=prepare)
        return mapping

    def detach(self, ctx: RequestContext, instance: str, share_id: str) -> None:
        """Insert a task. Raises: ShareNotFound."""

        def prepare(conn: Connection, found: Instance) -> Mapping[str, Any]:
            mapping = next((each for each in found.shares if each.share_id == share_id), None)
            if mapping is None:
                raise ShareNotFound(share=share_id)
            shares = changed(found, mapping.uuid, status=ShareStatus.DETACHING)
            instances.change(conn, instance, shares=shares)
            return _params(mapping)

        self._admission.admit(ctx, instance, _DETACH, prepare=prepare)


def _mountable(share: Share) -> str:
    """Where hosts mount it from. Raises: InvalidShare."""
    if share.status != "available":
        raise InvalidShare(share=share.id, reason=f"it is {share.status}, not available.")
    if share.export_location is None:
        raise InvalidShare(share=share.id, reason="it has no export location.")
    if share.protocol not in _PROTOCOLS:
        raise InvalidShare(share=share.id, reason=f"its protocol is {share.protocol}.")
    return share.export_location


def _check_host(conn: Connection, found: Instance) -> None:
    """Raises: SharesNotSupported."""
    host = str(found.host)
    if HOST_TRAIT not in compute_nodes.traits_of(conn, host):
        raise SharesNotSupported(instance=found.uuid, host=host)


def _check_new(found: Instance, mapping: ShareMapping) -> None:
    """Raises: ShareInUse."""
    for each in found.shares:
        if each.share_id == mapping.share_id or each.tag == mapping.tag:
            raise ShareInUse(instance=found.uuid, share=each.share_id, tag=each.tag)


def _params(mapping: ShareMapping) -> Mapping[str, Any]:
    return dict(msgspec.to_builtins(ShareParams(mapping=mapping)))

# SPDX-License-Identifier: Apache-2.0
"""Every URL of the Block Storage API, and what stands behind them."""

import logging
from collections.abc import Mapping
from typing import Any

import falcon
from sqlalchemy import select

from common.clock import Clock
from services.companion.compute_events import ComputeApi, ComputeEvents
from services.companion.image.files import Files
from services.companion.settings import Settings
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume import metadata, type_records, work
from services.companion.volume.actions import VolumeActions
from services.companion.volume.attaching import file_name
from services.companion.volume.attachments import Attachments
from services.companion.volume.backend import Backend
from services.companion.volume.call import BASE, ROOT
from services.companion.volume.documents import (
    Capabilities,
    Extensions,
    Pools,
    Services,
    VolumeVersions,
    Zones,
)
from services.companion.volume.guard import Guard
from services.companion.volume.jobs import Jobs, Work
from services.companion.volume.local_files import LocalFiles
from services.companion.volume.messages import Messages
from services.companion.volume.parts import Parts
from services.companion.volume.quota import Defaults
from services.companion.volume.quotas import Limits, Quotas
from services.companion.volume.snapshots import Snapshots
from services.companion.volume.transfers import Transfers
from services.companion.volume.types import DefaultTypes, ExtraSpecs, Types
from services.companion.volume.volumes import Volumes
from services.companion.volume.work import Tools, snapshot_name

LOG = logging.getLogger(__name__)


def install(
    app: falcon.App[Any, Any],
    store: Store,
    clock: Clock,
    settings: Settings,
    files: Files,
    events: ComputeEvents,
    compute: ComputeApi | None,
    more_work: Mapping[str, Work],
) -> Jobs:
    """Serve the Block Storage API below /volume. The jobs are the caller's to start and stop.

    `more_work` has kinds of jobs of others.
    """
    chosen = settings.volumes
    # Another kind of storage would be chosen here.
    backend: Backend = LocalFiles(settings.data_path / "volumes")
    type_records.ensure_default(store, clock, chosen.default_type)
    _look_at(store, backend)
    own_work = work.kinds(Tools(store, clock, backend, files, events))
    jobs = Jobs(store, {**own_work, **more_work}, chosen.workers)
    parts = Parts(
        store=store,
        clock=clock,
        backend=backend,
        files=files,
        guard=Guard(compute.holds if compute is not None else None),
        jobs=jobs,
        quota=Defaults(
            chosen.quota_volumes,
            chosen.quota_gigabytes,
            chosen.quota_snapshots,
            chosen.max_volume_gib,
        ),
        default_type=chosen.default_type,
        host=chosen.host,
    )
    for path, resource, suffix in _routes(parts):
        app.add_route(path, resource, suffix=suffix)
    return jobs


def _routes(parts: Parts) -> list[tuple[str, object, str | None]]:
    volumes, snapshots, attachments = Volumes(parts), Snapshots(parts), Attachments(parts)
    types, specs = (
        Types(parts.store, parts.clock, parts.default_type),
        ExtraSpecs(parts.store, parts.clock),
    )
    defaults, quotas = DefaultTypes(parts.store), Quotas(parts.store, parts.quota)
    extensions, messages, transfers = Extensions(), Messages(parts.store), Transfers(parts)
    of_volumes, of_snapshots = metadata.of_volumes(parts), metadata.of_snapshots(parts)
    routes: list[tuple[str, object, str | None]] = [
        ("/volumes", volumes, None),
        ("/volumes/detail", volumes, "detail"),
        ("/volumes/summary", volumes, "summary"),
        ("/volumes/{item_id}", volumes, "one"),
        ("/volumes/{item_id}/action", VolumeActions(parts), None),
        ("/volumes/{item_id}/metadata", of_volumes, None),
        ("/volumes/{item_id}/metadata/{key}", of_volumes, "one"),
        ("/snapshots", snapshots, None),
        ("/snapshots/detail", snapshots, "detail"),
        ("/snapshots/{item_id}", snapshots, "one"),
        ("/snapshots/{item_id}/action", snapshots, "action"),
        ("/snapshots/{item_id}/metadata", of_snapshots, None),
        ("/snapshots/{item_id}/metadata/{key}", of_snapshots, "one"),
        ("/attachments", attachments, None),
        ("/attachments/detail", attachments, "detail"),
        ("/attachments/{item_id}", attachments, "one"),
        ("/attachments/{item_id}/action", attachments, "action"),
        ("/types", types, None),
        ("/types/{type_id}", types, "one"),
        ("/types/{type_id}/action", types, "action"),
        ("/types/{type_id}/encryption", types, "encryption"),
        ("/types/{type_id}/os-volume-type-access", types, "access"),
        ("/types/{type_id}/extra_specs", specs, None),
        ("/types/{type_id}/extra_specs/{key}", specs, "one"),
        ("/default-types", defaults, None),
        ("/default-types/{project_id}", defaults, "one"),
        ("/os-quota-sets/{project_id}", quotas, None),
        ("/os-quota-sets/{project_id}/defaults", quotas, "defaults"),
        ("/os-quota-class-sets/{name}", quotas, "class"),
        ("/limits", Limits(parts.store, parts.quota), None),
        ("/messages", messages, None),
        ("/messages/{item_id}", messages, "one"),
        ("/os-availability-zone", Zones(), None),
        ("/os-services", Services(parts), None),
        ("/scheduler-stats/get_pools", Pools(parts), None),
        ("/capabilities/{host}", Capabilities(parts), None),
        ("/extensions", extensions, None),
        ("/extensions/{alias}", extensions, "one"),
    ]
    for name in ("os-volume-transfer", "volume-transfers"):
        routes += [
            (f"/{name}", transfers, None),
            (f"/{name}/detail", transfers, "detail"),
            (f"/{name}/{{item_id}}", transfers, "one"),
            (f"/{name}/{{item_id}}/accept", transfers, "accept"),
        ]
    versions = VolumeVersions()
    return [
        (ROOT, versions, None),
        (BASE, versions, None),
        *((f"{BASE}{path}", resource, suffix) for path, resource, suffix in routes),
    ]


def _look_at(store: Store, backend: Backend) -> None:
    """Clear away what cut-off work left, and say what nobody can tell whose it is."""
    with store.read() as conn:
        known = {file_name({"id": i}) for i in conn.scalars(select(tables.volumes.c.id))}
        known |= {snapshot_name(i) for i in conn.scalars(select(tables.volume_snapshots.c.id))}
    for stranger in backend.unknown(known):
        # Deleted data goes by its job: this was somebody's once, and the store has forgotten it.
        LOG.warning("%s belongs to no volume or snapshot; it is left alone", stranger)

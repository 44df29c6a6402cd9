# SPDX-License-Identifier: Apache-2.0
"""What is done behind requests: each kind of job, how it ends, and what its second run does."""

import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.compute_events import ComputeEvents
from services.companion.image.files import Files
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume import capabilities, images, messages, records
from services.companion.volume.attaching import file_name, status_by
from services.companion.volume.backend import Backend
from services.companion.volume.images import Uploads
from services.companion.volume.jobs import Afterwards, Finish, Job, Work, WorkFailed
from services.companion.volume.records import Row

_GIB = 1 << 30
EXTENDED, REIMAGED = "volume-extended", "volume-reimaged"


def snapshot_name(snapshot_id: str) -> str:
    """The name under which the backend has a snapshot's data."""
    return f"snapshot-{snapshot_id}"


@dataclass(frozen=True)
class Tools:
    """What work needs."""

    store: Store
    clock: Clock
    backend: Backend
    files: Files
    events: ComputeEvents


class _Work(Work):
    """A kind of job on one volume or snapshot. A subject that is gone by now needs no work."""

    kind: str  # of the subject, as messages to users have it
    table: Table
    action: str  # as messages to users have it
    event: str
    during: Sequence[str]  # statuses in which the job is still wanted
    failed: str  # the status after a failure

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @abstractmethod
    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        """Do the work. Raises: Interrupted, WorkFailed."""

    def do(self, job: Job, stopping: threading.Event) -> Finish:
        with self._tools.store.read() as conn:
            subject = self._subject(conn, job)
        if subject is None or subject["status"] not in self.during:
            return lambda conn: None
        return self.run(job, subject, stopping)

    def fail(self, job: Job, reason: str) -> Finish:
        def finish(conn: Connection) -> None:
            subject = self._subject(conn, job)
            if subject is None:
                return
            if subject["status"] in self.during:
                self.end(conn, subject, self.after_failure(conn, subject))
            words = f"{self.action}: {reason}"
            messages.say(
                conn, self._tools.clock, about=subject, kind=self.kind, event=self.event,
                words=words, request_id=job.request_id,
            )  # fmt: skip

        return finish

    def after_failure(self, conn: Connection, subject: Row) -> str:
        """The status that the subject has then."""
        return self.failed

    def finish(self, job: Job, status: str, **values: Any) -> Finish:
        """Write a good end, unless the subject has become something else meanwhile."""

        def finish(conn: Connection) -> None:
            subject = self._subject(conn, job)
            if subject is not None and subject["status"] in self.during:
                self.end(conn, subject, status, **values)

        return finish

    def end(self, conn: Connection, subject: Row, status: str, **values: Any) -> None:
        """Set the status."""
        change = records.change if self.table is tables.volumes else records.change_snapshot
        change(conn, subject, self._tools.clock, status=status, **values)

    def _subject(self, conn: Connection, job: Job) -> Row | None:
        wanted = select(self.table).where(self.table.c.id == job.subject)
        row = conn.execute(wanted).mappings().one_or_none()
        return None if row is None else dict(row)


class _VolumeWork(_Work):
    kind, table = "VOLUME", tables.volumes

    def settled(self, conn: Connection, volume: Row) -> str:
        """The status that the volume's attachments give it."""
        return status_by(self._attachments(conn, volume))

    def finish_settled(self, job: Job, *, tell: str = "", **values: Any) -> Finish:
        """Write a good end, in the status that attachments give, and tell their servers of it."""

        def finish(conn: Connection) -> Afterwards | None:
            volume = self._subject(conn, job)
            if volume is None or volume["status"] not in self.during:
                return None
            found = self._attachments(conn, volume)
            self.end(conn, volume, status_by(found), **values)
            servers = {a["instance_uuid"] for a in found if a["instance_uuid"]} if tell else set()

            def afterwards() -> None:
                for server in sorted(servers):
                    self._tools.events.tell(tell, server, job.subject)

            return afterwards

        return finish

    def _attachments(self, conn: Connection, volume: Row) -> list[Row]:
        condition = tables.volume_attachments.c.volume_id == volume["id"]
        return records.attachments(conn, condition)


class Create(_VolumeWork):
    """A new volume's data. Again: from the beginning."""

    action, event = "create volume", "VOLUME_VOLUME_008_001"
    during, failed = (records.CREATING, records.DOWNLOADING), records.ERROR

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        backend, name, size = self._tools.backend, file_name(subject), subject["size"] * _GIB
        self._must_suit(subject)
        if subject["image_id"]:
            with self._tools.store.write() as conn:
                image = images.data_of(conn, self._tools.files, subject["image_id"])
                records.change(conn, subject, self._tools.clock, status=records.DOWNLOADING)
            backend.write_image(name, size, image, stopping)
        elif job.params.get("copy_of"):
            backend.copy(job.params["copy_of"], name, size, stopping)
        else:
            backend.create(name, size)
        return self.finish(job, records.AVAILABLE)

    def _must_suit(self, subject: Row) -> None:
        """Raise WorkFailed when the volume's type asks for what this storage is not."""
        t = tables.volume_types.c
        with self._tools.store.read() as conn:
            specs = conn.scalar(select(t.extra_specs).where(t.id == subject["type_id"]))
        missing = capabilities.unmet(specs or {}, self._tools.backend)
        if missing is not None:
            raise WorkFailed(f"no valid backend was found: none has {missing}")


class Delete(_VolumeWork):
    """Forget a volume. Again: nothing that is not done."""

    action, event = "delete volume", "VOLUME_VOLUME_010_001"
    during, failed = (records.DELETING,), records.ERROR_DELETING

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        self._tools.backend.remove(file_name(subject))
        return lambda conn: records.remove(conn, tables.volumes, job.subject)


class Extend(_VolumeWork):
    """A larger volume; servers that have it are told. Again: nothing that is not done."""

    action, event = "extend volume", "VOLUME_VOLUME_007_001"
    during, failed = (records.EXTENDING,), records.ERROR_EXTENDING

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        size = job.params["size"]
        self._tools.backend.extend(file_name(subject), size * _GIB)
        return self.finish_settled(job, tell=EXTENDED, size=size, new_size=None)

    def end(self, conn: Connection, subject: Row, status: str, **values: Any) -> None:
        super().end(conn, subject, status, **{"new_size": None, **values})


class Reimage(_VolumeWork):
    """Another image's disk in the volume. Again: from the beginning."""

    action, event = "reimage volume", "VOLUME_VOLUME_013_001"
    during, failed = (records.DOWNLOADING,), records.ERROR

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        tools = self._tools
        with tools.store.read() as conn:
            image = images.data_of(conn, tools.files, job.params["image_id"])
        size = subject["size"] * _GIB
        tools.backend.write_image(file_name(subject), size, image, stopping)
        described = job.params["image_metadata"]
        return self.finish_settled(job, tell=REIMAGED, image_metadata=described, bootable=True)


class Revert(_VolumeWork):
    """A volume as it was when its snapshot was made. Again: from the beginning."""

    action, event = "revert volume to snapshot", "VOLUME_VOLUME_014_001"
    during, failed = (records.REVERTING,), records.ERROR

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        assert job.source is not None
        size = subject["size"] * _GIB
        self._tools.backend.copy(snapshot_name(job.source), file_name(subject), size, stopping)
        return self.finish(job, records.AVAILABLE)


class Upload(_VolumeWork):
    """An image with a volume's data. Again: from the beginning."""

    action, event = "copy volume to image", "VOLUME_VOLUME_003_001"
    during, failed = (records.UPLOADING,), records.AVAILABLE

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        tools, image_id = self._tools, job.params["image_id"]
        disk_format = job.params["disk_format"]
        uploads = Uploads(tools.store, tools.clock, tools.files)
        with (
            tools.backend.exported(file_name(subject), disk_format, stopping) as path,
            path.open("rb") as data,
        ):
            uploads.upload(image_id, disk_format, data, path.stat().st_size)
        return self.finish_settled(job)

    def after_failure(self, conn: Connection, subject: Row) -> str:
        return self.settled(conn, subject)

    def fail(self, job: Job, reason: str) -> Finish:
        failed = super().fail(job, reason)

        def finish(conn: Connection) -> None:
            failed(conn)
            images.give_up(conn, job.params["image_id"])

        return finish


class _SnapshotWork(_Work):
    kind, table = "VOLUME_SNAPSHOT", tables.volume_snapshots


class CreateSnapshot(_SnapshotWork):
    """A copy of a volume. Again: a copy of what it is then."""

    action, event = "create snapshot", "VOLUME_VOLUME_SNAPSHOT_009_001"
    during, failed = (records.CREATING,), records.ERROR

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        name, size = snapshot_name(subject["id"]), subject["size"] * _GIB
        self._tools.backend.copy(job.params["copy_of"], name, size, stopping)
        return self.finish(job, records.AVAILABLE, progress="100%")


class DeleteSnapshot(_SnapshotWork):
    """Forget a snapshot. Again: nothing that is not done."""

    action, event = "delete snapshot", "VOLUME_VOLUME_SNAPSHOT_010_001"
    during, failed = (records.DELETING,), records.ERROR_DELETING

    def run(self, job: Job, subject: Row, stopping: threading.Event) -> Finish:
        self._tools.backend.remove(snapshot_name(subject["id"]))
        return lambda conn: records.remove(conn, tables.volume_snapshots, job.subject)


def kinds(tools: Tools) -> dict[str, Work]:
    """Every kind of job, by the word that its rows have."""
    return {
        "create": Create(tools),
        "delete": Delete(tools),
        "extend": Extend(tools),
        "reimage": Reimage(tools),
        "revert": Revert(tools),
        "upload": Upload(tools),
        "create-snapshot": CreateSnapshot(tools),
        "delete-snapshot": DeleteSnapshot(tools),
    }

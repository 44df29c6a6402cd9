# SPDX-License-Identifier: Apache-2.0
"""Shares of the shared file system service, mounted on this host for its guests.

Each guest has mounts of its own, in a folder of its own: what one lets go of takes nothing from
another. What is mounted the kernel knows; nothing is written down.
"""

from pathlib import Path

from os_brick.remotefs.remotefs import RemoteFsClient

from common.errors import HypervisorError, NotSupported
from common.objects.share_mapping import ShareMapping
from services.compute import mounts
from services.compute.brick import FAILURES, in_words

# Where distributions put what shows folders to guests.
_VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd")


def find_virtiofsd() -> str | None:
    """The program that shows folders of this host to guests; None where it is not installed."""
    return next((path for path in _VIRTIOFSD if Path(path).is_file()), None)


class Shares:
    """Mounts below `folder`, with these options of mount(8)."""

    def __init__(self, folder: Path, nfs_mount_options: str = "") -> None:
        self.folder = folder.resolve()  # as the kernel names it
        self._options = nfs_mount_options

    def mount(self, instance_uuid: str, share: ShareMapping) -> Path:
        """Mount the share for this guest; where. Again: it is there.

        Raises: HypervisorError, NotSupported (its protocol).
        Blocks: while its server does not answer, for a few minutes at most.
        """
        if share.protocol != "NFS":
            raise NotSupported(f"This host cannot mount shares of protocol {share.protocol}.")
        base = self.folder / instance_uuid
        base.mkdir(parents=True, exist_ok=True)
        client = self._client(base)
        folder = Path(client.get_mount_point(share.export_location))
        try:
            client.mount(share.export_location)
            if not mounts.answers(folder):
                reason = f"the server of share {share.share_id} does not answer"
                raise HypervisorError(reason=reason)
        except FAILURES as failed:
            reason = f"share {share.share_id} cannot be mounted: {in_words(failed)}"
            raise HypervisorError(reason=reason) from failed
        return folder

    def unmount(self, instance_uuid: str, share: ShareMapping) -> None:
        """Unmount it. Again: it is not there. Raises: HypervisorError."""
        base = self.folder / instance_uuid
        if base.exists():
            self._leave(Path(self._client(base).get_mount_point(share.export_location)))

    def unmount_all(self, instance_uuid: str) -> None:
        """Unmount all that is there for this guest. Again: nothing is.

        Raises: HypervisorError.
        """
        base = self.folder / instance_uuid
        if not base.exists():
            return
        for folder in base.iterdir():
            self._leave(folder)
        base.rmdir()

    def _client(self, base: Path) -> RemoteFsClient:
        return RemoteFsClient(
            "nfs", "", execute=mounts.execute,
            nfs_mount_point_base=str(base), nfs_mount_options=self._options or None,
        )  # fmt: skip

    def _leave(self, folder: Path) -> None:
        try:
            mounts.unmount(folder)
            if folder.exists():
                folder.rmdir()
        except FAILURES as failed:
            reason = f"{folder} cannot be unmounted: {in_words(failed)}"
            raise HypervisorError(reason=reason) from failed

# SPDX-License-Identifier: Apache-2.0
"""Folders of shares, and the exports(5) file that says which addresses may mount them.

The NFS server itself is the operator's: it reads the file, and a command tells it of changes.
Everything that hosts write belongs to the companion's user, so that the companion can delete it.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.companion.volume.jobs import WorkFailed

_COMMAND_S = 60


@dataclass(frozen=True)
class Permission:
    """Who may mount a share; `level` is rw or ro."""

    share_id: str
    address: str
    level: str


class Exports:
    """The shares below `folder`, which hosts reach at `server`."""

    def __init__(self, folder: Path, server: str, command: Sequence[str]) -> None:
        self._folder = folder
        self._server = f"[{server}]" if ":" in server else server
        self._command = list(command)
        self._lock = threading.Lock()

    def path(self, share_id: str) -> str:
        """From where hosts mount a share."""
        return f"{self._server}:{self._folder / share_id}"

    def create(self, share_id: str) -> None:
        """An empty folder. Again: it stays as it is. Raises: WorkFailed."""
        try:
            self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            (self._folder / share_id).mkdir(mode=0o755, exist_ok=True)
        except OSError as failed:
            raise WorkFailed(f"its folder could not be made: {failed.strerror}") from failed

    def remove(self, share_id: str) -> None:
        """Delete it with all that is in it. Again: nothing. Raises: WorkFailed."""
        try:
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder / share_id)
        except OSError as failed:
            raise WorkFailed(f"its files could not be deleted: {failed.strerror}") from failed

    def permit(self, wanted: Callable[[], Iterable[Permission]]) -> None:
        """Let in whom `wanted` returns, and nobody else; one at a time. Raises: WorkFailed."""
        with self._lock:
            try:
                self._write(wanted())
                if self._command:
                    subprocess.run(
                        self._command, check=True, capture_output=True, timeout=_COMMAND_S
                    )
            except (OSError, subprocess.SubprocessError) as failed:
                raise WorkFailed("the NFS server could not be told who may mount it") from failed

    def _write(self, permissions: Iterable[Permission]) -> None:
        options = f"all_squash,anonuid={os.getuid()},anongid={os.getgid()},no_subtree_check"
        lines = [
            f'"{self._folder / p.share_id}" {p.address}({p.level},{options})\n' for p in permissions
        ]
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        part = self._folder / ".exports.part"
        part.write_text("".join(lines))
        part.replace(self._folder / "exports")

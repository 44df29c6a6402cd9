# SPDX-License-Identifier: Apache-2.0
"""Landings: what this host has made ready for guests that shall come alive, on its own disk.

One outlives the daemon: who gives a migration up must know what it left here.
"""

from pathlib import Path

import msgspec


class Landing(msgspec.Struct, frozen=True, kw_only=True):
    """A place for a guest. `pins`: (CPU of the guest, CPU of this host), which nobody else gets."""

    from_host: str
    shares_disks: bool
    pins: tuple[tuple[int, int], ...] = ()


class Landings:
    """Landings by instance, a file each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, instance_uuid: str) -> Landing | None:
        """The instance's; None when nothing is ready for it, or it has come."""
        try:
            return msgspec.json.decode(self._path(instance_uuid).read_bytes(), type=Landing)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def put(self, instance_uuid: str, landing: Landing) -> None:
        """Keep it. Again: the last one holds."""
        path = self._path(instance_uuid)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(landing))
        fresh.replace(path)

    def remove(self, instance_uuid: str) -> None:
        """Keep it no more. Again: fine."""
        self._path(instance_uuid).unlink(missing_ok=True)

    def instances(self) -> list[str]:
        """Those that something is ready for."""
        return [path.stem for path in self._folder.glob("*.json")]

    def taken_cpus(self, *, but_of: str) -> frozenset[int]:
        """CPUs of this host that are kept for guests other than `but_of`'s."""
        others = [self.get(uuid) for uuid in self.instances() if uuid != but_of]
        return frozenset(cpu for landing in others if landing for _, cpu in landing.pins)

    def _path(self, instance_uuid: str) -> Path:
        return self._folder / f"{instance_uuid}.json"

# SPDX-License-Identifier: Apache-2.0
"""The guests of fake hosts.

With a state file, guests outlive a killed process as real ones do: a test can tell whether one
leaked.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from common.states import PowerState

_VOLUMES, _SHARES = "volumes", "shares"


class GuestMemory:
    """Power states, volumes and shares of guests by host, kept in a file when there is one.

    The file is a log: a line a change. Reading plays it back, and starts it anew.
    """

    def __init__(self, state_file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, dict[str, PowerState]] = {}
        self._has: dict[tuple[str, str, str], frozenset[str]] = {}
        self._log: int | None = None
        if state_file is not None:
            self._replay(state_file)

    def _replay(self, state_file: Path) -> None:
        if state_file.exists():
            for line in state_file.read_text().splitlines():
                words = line.split()
                # A killed process may leave half a line.
                if len(words) == 3:
                    self._set(words[0], words[1], PowerState(int(words[2])))
                elif len(words) == 4:
                    self._has[words[0], words[1], words[2]] = frozenset(words[3].split(",")) - {"-"}
        fresh = state_file.with_suffix(".new")
        fresh.write_text(
            "".join(
                f"{host} {uuid} {int(state)}\n"
                for host, guests in self._hosts.items()
                for uuid, state in guests.items()
            )
            + "".join(_line(*of, has) for of, has in self._has.items())
        )
        fresh.replace(state_file)
        self._log = os.open(state_file, os.O_WRONLY | os.O_APPEND)

    def guests(self, host: str) -> dict[str, PowerState]:
        """A copy of the host's guests."""
        with self._lock:
            return dict(self._hosts.get(host, {}))

    def get(self, host: str, uuid: str) -> PowerState | None:
        """A guest's power state; None when there is no such guest."""
        with self._lock:
            return self._hosts.get(host, {}).get(uuid)

    def put(self, host: str, uuid: str, state: PowerState) -> None:
        """Make the guest, or change it; NOSTATE removes it."""
        with self._lock:
            self._set(host, uuid, state)
            if self._log is not None:
                os.write(self._log, f"{host} {uuid} {int(state)}\n".encode())

    def volumes(self, host: str, uuid: str) -> frozenset[str]:
        """Ids of the volumes that a guest has."""
        return self._get_things(host, uuid, _VOLUMES)

    def put_volumes(self, host: str, uuid: str, volume_ids: Iterable[str]) -> None:
        """Give a guest these volumes, and no others."""
        self._put_things(host, uuid, _VOLUMES, volume_ids)

    def shares(self, host: str, uuid: str) -> frozenset[str]:
        """Ids of the shares that a guest has."""
        return self._get_things(host, uuid, _SHARES)

    def put_shares(self, host: str, uuid: str, share_ids: Iterable[str]) -> None:
        """Give a guest these shares, and no others."""
        self._put_things(host, uuid, _SHARES, share_ids)

    def _get_things(self, host: str, uuid: str, kind: str) -> frozenset[str]:
        with self._lock:
            return self._has.get((host, uuid, kind), frozenset())

    def _put_things(self, host: str, uuid: str, kind: str, ids: Iterable[str]) -> None:
        has = frozenset(ids)
        with self._lock:
            if has == self._has.get((host, uuid, kind), frozenset()):
                return
            self._has[host, uuid, kind] = has
            if self._log is not None:
                os.write(self._log, _line(host, uuid, kind, has).encode())

    def _set(self, host: str, uuid: str, state: PowerState) -> None:
        guests = self._hosts.setdefault(host, {})
        if state is PowerState.NOSTATE:
            guests.pop(uuid, None)
            for kind in (_VOLUMES, _SHARES):
                self._has.pop((host, uuid, kind), None)
        else:
            guests[uuid] = state


def _line(host: str, uuid: str, kind: str, ids: Iterable[str]) -> str:
    return f"{host} {uuid} {kind} {','.join(sorted(ids)) or '-'}\n"

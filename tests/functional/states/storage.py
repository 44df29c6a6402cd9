# SPDX-License-Identifier: Apache-2.0
"""The volumes of a cloud, as the volume service knows them, and a handful to do things with."""

import time
from collections.abc import Callable
from typing import Any

import requests

from tests.functional.cloud import Cloud
from tests.functional.states.books import Disk
from tests.waiting import Looking

_AT_REST = frozenset(("available", "in-use", "reserved"))
_PATIENCE_S = 30
# Attachments that tell when they are in use, and volumes that grow in use.
_VERSION = "3.44"


class Storage:
    """`pool`: volumes that the test made by itself; one that goes is followed by another."""

    def __init__(self, cloud: Cloud, *, size: int) -> None:
        admin = cloud.connect("admin")
        self._url = admin.block_storage.get_endpoint().rstrip("/")
        self._session = requests.Session()
        self._session.headers["X-Auth-Token"] = admin.auth_token
        self._session.headers["OpenStack-API-Version"] = f"volume {_VERSION}"
        self._cloud = cloud
        self.pool = [self.make() for _ in range(size)]
        # Volumes that may outlive the servers they were made for.
        self.spared: set[str] = set()

    # --- what is done to volumes ---

    def act(self, volume: str, action: dict[str, Any]) -> requests.Response:
        """One action of the volume service."""
        return self._ask("POST", f"/volumes/{volume}/action", action)

    def grow(self, volume: str) -> requests.Response:
        """Have it grow by 1 GiB."""
        found = self._ask("GET", f"/volumes/{volume}")
        size = found.json()["volume"]["size"] if found.ok else 1
        return self.act(volume, {"os-extend": {"new_size": size + 1}})

    def delete(self, volume: str) -> requests.Response:
        """Have it deleted, which is refused where somebody has it."""
        return self._ask("DELETE", f"/volumes/{volume}")

    def replace_gone(self) -> None:
        """New volumes for those of the pool that are gone, or go."""
        there = {each["id"] for each in self._listed() if each["status"] != "deleting"}
        self.pool = [each if each in there else self.make() for each in self.pool]

    def make(self) -> str:
        """A new volume that is ready; its id."""
        made: str = self._ask("POST", "/volumes", {"volume": {"size": 1}}).json()["volume"]["id"]
        self._until(lambda: self._status(made) == "available", f"{made} is made")
        return made

    def _status(self, volume: str) -> str:
        return str(self._ask("GET", f"/volumes/{volume}").json()["volume"]["status"])

    # --- what must be so at rest ---

    def mistakes(self, disks: list[Disk]) -> list[str]:
        """Where volume service, hosts and the conductor's rows tell different things at rest."""
        volumes = self._at_rest()
        attachments = {
            (each["instance"], each["volume_id"], each["id"]) for each in self._attachments()
        }
        rows = {(disk.instance, disk.volume_id, disk.attachment_id) for disk in disks}
        wrong = [f"attached, and in no row: {each}" for each in sorted(attachments - rows)]
        wrong += [f"in a row, and not attached: {each}" for each in rows - attachments]
        for each in volumes.values():
            wanted = _statuses([disk for disk in disks if disk.volume_id == each["id"]])
            if each["status"] not in wanted:
                wrong.append(f"{each['id']} is {each['status']}, not {' or '.join(wanted)}")
        return wrong + self._of_guests(disks) + self._leaked(volumes)

    def _of_guests(self, disks: list[Disk]) -> list[str]:
        wanted: dict[tuple[str, str], set[str]] = {}
        for disk in disks:
            if disk.host is not None:
                wanted.setdefault((disk.host, disk.instance), set()).add(disk.volume_id)
        found = {place: has for place, has in self._cloud.guests_volumes().items() if has}
        return [
            f"the guest at {place} has {found.get(place)}, not {wanted.get(place)}"
            for place in wanted.keys() | found.keys()
            if found.get(place) != wanted.get(place)
        ]

    def _leaked(self, volumes: dict[str, dict[str, Any]]) -> list[str]:
        """Volumes that were made for servers, and should have ended with them."""
        kept = {each["volume_id"] for each in self._snapshots()} | self.spared | {*self.pool}
        return [
            f"{each['id']} is left by a server"
            for each in volumes.values()
            if each["status"] == "available" and each["id"] not in kept
        ]

    def clear(self) -> None:
        """Delete everything that no server has. Fails when something stays."""

        def gone() -> bool:
            for each in self._snapshots():
                self._ask("DELETE", f"/snapshots/{each['id']}")
            for each in self._listed():
                self.delete(each["id"])
            return not self._listed()

        self._until(gone, "every volume is deleted")

    def _at_rest(self) -> dict[str, dict[str, Any]]:
        """Volumes by id, once the volume service does nothing with any."""
        self._until(
            lambda: all(each["status"] in _AT_REST for each in self._listed()),
            "every volume is at rest",
        )
        return {each["id"]: each for each in self._listed()}

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        while not holds():
            shown = [(each["id"], each["status"]) for each in self._listed()]
            assert time.monotonic() < deadline, f"not so: {what}. {shown}"
            looking.pause()

    def _listed(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/volumes/detail").json()["volumes"])

    def _snapshots(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/snapshots").json()["snapshots"])

    def _attachments(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/attachments/detail").json()["attachments"])

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        answer = self._session.request(method, self._url + path, json=body, timeout=30)
        assert answer.status_code < 500, answer.text
        return answer


def _statuses(disks: list[Disk]) -> tuple[str, ...]:
    """What the status of a volume may be that these disks of servers are."""
    if not disks:
        return ("available",)
    if any(disk.host is not None for disk in disks):
        return ("in-use",)
    return ("reserved", "in-use")

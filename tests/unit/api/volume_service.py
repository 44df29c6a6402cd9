# SPDX-License-Identifier: Apache-2.0
"""A volume service in memory, behind the real client: it knows whose token asks."""

import itertools
import json
import re
from typing import Any

from common.clients.session import Refused

TOKEN = "token-of-the-user"
NOWHERE = "0a0a0a0a-0000-4000-8000-000000000000"


class VolumeService:
    """Volumes, snapshots and types of one project; `refuse` has refusals for calls to come.

    `quota`: how many volumes there may be; `making`: how often a new one is shown as being made.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.types = [{"id": "t1", "name": "fast"}]
        self.quota = 100
        self.making = 0
        self.refuse: dict[tuple[str, str], Refused] = {}
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()
        self._ids = (f"0a0a0a0a-0000-4000-8000-{n:012d}" for n in itertools.count(1))

    def volume(self, **fields: Any) -> str:
        """Makes a volume; its id."""
        made = {
            "id": next(self._ids), "status": "available", "size": 1, "name": "",
            "bootable": "false", "multiattach": False, "attachments": [], "metadata": {},
            "description": None, "availability_zone": "nova", "volume_type": None,
            "created_at": "2026-11-23T10:00:00.000000", "snapshot_id": None,
        }  # fmt: skip
        self.volumes[made["id"]] = made | fields
        return str(made["id"])

    def snapshot(self, volume_id: str, **fields: Any) -> str:
        """Makes a snapshot; its id."""
        made = {
            "id": next(self._ids), "volume_id": volume_id, "status": "available", "size": 1,
            "name": "", "description": None, "created_at": "2026-11-23T10:00:00.000000",
        }  # fmt: skip
        self.snapshots[made["id"]] = made | fields
        return str(made["id"])

    def request(
        self, service: str, version: str, method: str, path: str, *, token: str | None = None,
        **options: Any,
    ) -> "Answer":  # fmt: skip
        assert (service, version) == ("block-storage", "v3")
        self.tokens.add(token)
        below = re.sub(r"^/[^/]*", "", path)
        self.calls.append((method, below))
        collection, _, item = below[1:].partition("/")
        refusal = self.refuse.get((method, f"/{collection}"))
        if refusal is not None:
            raise refusal
        act = getattr(self, f"_{method.lower()}_{collection}")
        return Answer(act(item, options))

    def _get_types(self, item: str, options: Any) -> Any:
        return {"volume_types": self.types}

    def _get_volumes(self, item: str, options: Any) -> Any:
        if item == "detail":
            return {"volumes": _page(self.volumes, options)}
        volume = _one(self.volumes, item)
        if volume["status"] == "creating" and volume.setdefault("seen", 0) >= self.making:
            volume["status"] = "available"
        volume["seen"] = volume.get("seen", 0) + 1
        return {"volume": volume}

    def _post_volumes(self, item: str, options: Any) -> Any:
        if len(self.volumes) >= self.quota:
            raise Refused("VolumeLimitExceeded: Maximum number of volumes allowed", status=413)
        wanted = options["json"]["volume"]
        snapshot = wanted.get("snapshot_id")
        if snapshot is not None:
            _one(self.snapshots, snapshot)
        made = self.volume(**wanted, status="creating")
        return {"volume": self.volumes[made]}

    def _delete_volumes(self, item: str, options: Any) -> Any:
        if _one(self.volumes, item)["status"] not in ("available", "error"):
            raise Refused("Invalid volume: Volume status must be available", status=400)
        del self.volumes[item]

    def _get_snapshots(self, item: str, options: Any) -> Any:
        if item == "detail":
            return {"snapshots": _page(self.snapshots, options)}
        return {"snapshot": _one(self.snapshots, item)}

    def _post_snapshots(self, item: str, options: Any) -> Any:
        wanted = options["json"]["snapshot"]
        size = _one(self.volumes, wanted["volume_id"])["size"]
        shown = {key: wanted[key] for key in ("name", "description")}
        return {"snapshot": self.snapshots[self.snapshot(wanted["volume_id"], size=size, **shown)]}

    def _delete_snapshots(self, item: str, options: Any) -> Any:
        _one(self.snapshots, item)
        del self.snapshots[item]


class Answer:
    """What the session returns."""

    def __init__(self, document: Any) -> None:
        self.content = b"" if document is None else json.dumps(document).encode()

    def json(self) -> Any:
        return json.loads(self.content)


def _one(things: dict[str, dict[str, Any]], item: str) -> dict[str, Any]:
    if item not in things:
        raise Refused(f"{item} could not be found.", status=404)
    return things[item]


def _page(things: dict[str, dict[str, Any]], options: Any) -> list[dict[str, Any]]:
    start, count = options["params"]["offset"], options["params"]["limit"]
    return list(things.values())[start : start + count]

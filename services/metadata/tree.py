# SPDX-License-Identifier: Apache-2.0
"""What stands at a path: the OpenStack and EC2 trees put together, as a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from common.guest_metadata import ec2_tree, openstack_tree
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata

TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_JSON_FILES = frozenset(("meta_data.json", "vendor_data.json", "vendor_data2.json"))


@dataclass(frozen=True)
class Answer:
    """A file or a listing."""

    content: bytes
    content_type: str = TEXT


def root() -> Answer:
    """`/`: the EC2 versions, whoever asks."""
    return _listing((*ec2_tree.VERSIONS, ec2_tree.LATEST))


def find(
    guest: GuestMetadata, path: Sequence[str], settings: TreeSettings, today: date
) -> Answer | None:
    """What a guest reads at `path` (its parts, none empty); None: nothing is there."""
    if path[0] == "openstack":
        return _openstack(guest, path[1:], settings, today)
    return _ec2(guest, path[1:] if path[0] == "ec2" else path, settings)


def is_password(path: Sequence[str]) -> bool:
    """Whether `path` is the one file that a guest may also write."""
    if len(path) != 3 or path[0] != "openstack" or path[2] != "password":
        return False
    version = openstack_tree.resolve(path[1])
    return version is not None and version >= "2013-04-04"


def asks_services(path: Sequence[str], settings: TreeSettings) -> bool:
    """Whether other services have a part in what stands at `path`."""
    return settings.dynamic is not None and path[-1] == "vendor_data2.json"


def _openstack(
    guest: GuestMetadata, path: Sequence[str], settings: TreeSettings, today: date
) -> Answer | None:
    if not path:
        return _listing(openstack_tree.listed_versions(today))
    if openstack_tree.resolve(path[0]) is None:
        return None
    if len(path) == 1:
        return _listing(openstack_tree.file_names(guest, path[0], settings))
    if len(path) > 2:
        return None
    content = openstack_tree.file_content(guest, path[0], path[1], settings)
    if content is None:
        return None
    return Answer(content, _JSON if path[1] in _JSON_FILES else TEXT)


def _ec2(guest: GuestMetadata, path: Sequence[str], settings: TreeSettings) -> Answer | None:
    if not path:
        return root()
    if ec2_tree.resolve(path[0]) is None:
        return None
    user_data = openstack_tree.user_data(guest)
    if len(path) == 1:
        return _listing(["meta-data/", *(["user-data"] if user_data is not None else [])])
    if path[1] == "user-data":
        return Answer(user_data) if user_data is not None and len(path) == 2 else None
    if path[1] != "meta-data":
        return None
    text = ec2_tree.lookup(ec2_tree.meta_data(guest, path[0], settings), path[2:])
    return None if text is None else Answer(text.encode())


def _listing(names: Sequence[str]) -> Answer:
    return Answer("\n".join(names).encode())

# SPDX-License-Identifier: Apache-2.0
"""ShortPaths: short names for disks of containers.

libvirt names a loop device after its file, and takes no name that the kernel would cut off: with
the uuid of an instance in it, a path is soon too long. A link has a name that is short enough.
"""

import base64
import uuid
from pathlib import Path

from common.errors import HypervisorError

# LO_NAME_SIZE of linux/loop.h, with the byte that ends it.
_MOST = 63
# The link's name: 22 characters of the uuid, two of a number, the slash before them.
_NAME = 25


class ShortPaths:
    """Links in `folder`, which is of this host alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Make the folder. Again: it is there. Raises: HypervisorError, when no link is short."""
        most = _MOST - _NAME
        if len(str(self._folder)) > most:
            reason = (
                f"{self._folder} is too long a path for containers, at most {most} characters are "
                "not: [DEFAULT] state_path must be shorter"
            )
            raise HypervisorError(reason=reason)
        self._folder.mkdir(parents=True, exist_ok=True)

    def make(self, instance_uuid: str, number: int, target: Path) -> str:
        """The link to the disk with this number. Again: to where it is now."""
        link = self._folder / f"{_short(instance_uuid)}{number}"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return str(link)

    def remove(self, instance_uuid: str) -> None:
        """Remove those of an instance. Again, or without any: fine."""
        for link in self._folder.glob(f"{_short(instance_uuid)}*"):
            link.unlink(missing_ok=True)


def _short(instance_uuid: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(instance_uuid).bytes).decode().rstrip("=")

# SPDX-License-Identifier: Apache-2.0
"""What guests' disks are called: `/dev/` and a prefix by bus, then letters in order."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import count, product
from string import ascii_lowercase

DEV = "/dev/"
PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
_DEFAULT_BUS = "virtio"
_NAME = re.compile(r"(?:/dev/)?(?:xvd|vd|sd|hd|fd|ubd)([a-z]{1,3})")


def prefix_of(disk_bus: str | None, image_properties: Mapping[str, str]) -> str:
    """The first letters of a disk on `disk_bus`, or on the bus that the image wants."""
    bus = disk_bus or image_properties.get("hw_disk_bus") or _DEFAULT_BUS
    return PREFIXES.get(bus, PREFIXES[_DEFAULT_BUS])


def next_name(prefix: str, taken: Collection[str]) -> str:
    """The first name with `prefix`, such as `/dev/vdb`, that is not among `taken`."""
    names = (f"{DEV}{prefix}{letters}" for letters in all_letters())
    return next(name for name in names if name not in taken)


def letters_of(name: str) -> str | None:
    """`b` of `/dev/vdb`, or of `vdb`; None when it is no name of a disk."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def place_of(letters: str) -> int:
    """Which disk of its bus it is: 0 for a, 1 for b, 26 for aa."""
    place = 0
    for letter in letters:
        place = place * len(ascii_lowercase) + ascii_lowercase.index(letter) + 1
    return place - 1


def all_letters() -> Iterator[str]:
    """a to z, then aa and so on, without end."""
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "".join(letters)

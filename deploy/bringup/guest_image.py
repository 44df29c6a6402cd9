# SPDX-License-Identifier: Apache-2.0
"""The image that a new cloud offers: built once from Debian packages, kept with the state."""

import hashlib
import shutil
from pathlib import Path

from deploy.bringup.commands import run
from deploy.bringup.paths import write

SOURCES = Path(__file__).resolve().parents[1] / "guest"
_PLACEHOLDER_BYTES = 1 << 20


def file(folder: Path) -> Path:
    """Where the image is."""
    return folder / "guest.qcow2"


def ensure(folder: Path) -> str:
    """Build the image unless it is what the sources make; what was done, in words.

    Raises: Failed. A build that is interrupted leaves the image before it.
    """
    stamp = folder / "digest"
    digest = _digest()
    if file(folder).exists() and stamp.exists() and stamp.read_text() == digest:
        return "there"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "build"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    run(SOURCES / "build-image", "--cache", folder / "packages", fresh / "guest.qcow2",
        timeout_s=600)  # fmt: skip
    for made in fresh.iterdir():
        made.replace(folder / made.name)
    fresh.rmdir()
    write(stamp, digest)
    return "built"


def placeholder(folder: Path) -> Path:
    """An image for hosts that run nothing: a mebibyte of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "placeholder.raw"
    if not image.exists():
        image.write_bytes(b"\0" * _PLACEHOLDER_BYTES)
    return image


def _digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(path for path in SOURCES.rglob("*") if path.is_file()):
        digest.update(str(source.relative_to(SOURCES)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()

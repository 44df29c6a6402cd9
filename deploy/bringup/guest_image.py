# SPDX-License-Identifier: Apache-2.0
"""The images that a new cloud offers: built once from Debian packages, kept with the state."""

import hashlib
import shutil
from pathlib import Path

from deploy.bringup import packages
from deploy.bringup.commands import run
from deploy.bringup.failures import Failed
from deploy.bringup.paths import write

SOURCES = Path(__file__).resolve().parents[1] / "guest"
_PLACEHOLDER_BYTES = 1 << 20
_BUILD_WITHIN_S = 600


# What it is for, and the options of its build.
_KINDS: dict[str, tuple[str, ...]] = {"guest": (), "container": ("--container",)}


def file(folder: Path, kind: str = "guest") -> Path:
    """Where the image is: for machines `guest`, for containers `container`."""
    return folder / f"{kind}.qcow2"


def ensure(folder: Path, kind: str = "guest") -> str:
    """Build the image unless it is what the sources make; what was done, in words.

    Raises: Failed. A build that is interrupted leaves the image before it.
    """
    stamp = folder / ("digest" if kind == "guest" else f"{kind}.digest")
    digest = _digest()
    if file(folder, kind).exists() and stamp.exists() and stamp.read_text() == digest:
        return "there"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "build"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    command = (
        SOURCES / "build-image", *_KINDS[kind], "--cache", folder / "packages", file(fresh, kind),
    )  # fmt: skip
    try:
        run(*command, timeout_s=_BUILD_WITHIN_S)
    except Failed:
        # apt knows no packages yet, or ones that the mirror has replaced by now
        packages.refresh()
        run(*command, timeout_s=_BUILD_WITHIN_S)
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

# SPDX-License-Identifier: Apache-2.0
"""The files of noVNC and spice-html5, read once: a path that is not among them leads nowhere."""

import mimetypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import Invalid

# A folder with more than this is not the one that was meant.
_MOST_FILES = 4000
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class File:
    """A file as it is served."""

    content: bytes
    content_type: str

    @property
    def is_page(self) -> bool:
        """Whether a browser opens it by its address."""
        return self.content_type == "text/html"


@dataclass(frozen=True)
class Files:
    """Files by the path of their URL."""

    folder: str = ""
    by_path: Mapping[str, File] = field(default_factory=dict)

    def get(self, path: str) -> File | None:
        """What stands at a path."""
        return self.by_path.get(path)


def read(folder: str) -> Files:
    """Every file below `folder`; none where there is no folder. Raises: Invalid (far too many)."""
    found: dict[str, File] = {}
    size = 0
    for path in _walk(Path(folder)):
        size += path.stat().st_size
        if len(found) >= _MOST_FILES or size > _MOST_BYTES:
            raise Invalid(
                f"{folder} holds more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB: "
                "it is not the folder with the pages of consoles"
            )
        content = path.read_bytes()
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[f"/{path.relative_to(folder)}"] = File(content, content_type)
    return Files(folder, found)


def _walk(folder: Path) -> Iterator[Path]:
    # Packages link files of others into theirs.
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and os.access(path, os.R_OK):
                yield path

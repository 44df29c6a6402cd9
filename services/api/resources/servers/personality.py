# SPDX-License-Identifier: Apache-2.0
"""`personality`: files to be put into a new guest, up to microversion 2.56."""

from typing import Any

from common.objects.injected_file import InjectedFile


def injected_files(body: dict[str, Any]) -> tuple[InjectedFile, ...]:
    """The files of a checked body."""
    return tuple(
        InjectedFile(path=each["path"], contents=each["contents"])
        for each in body.get("personality") or ()
    )

# SPDX-License-Identifier: Apache-2.0
"""Vendor data: what a deployment tells guests of its own, as `[metadata]` names it.

A file, and services to ask, which `vendor_services` does.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import Invalid


def static(path: str) -> dict[str, Any]:
    """The object in the vendor data file; empty without one. Raises: Invalid."""
    if not path:
        return {}
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as wrong:
        raise Invalid(f"[metadata] vendor_data_file {path}: {wrong}") from wrong
    if not isinstance(content, dict):
        raise Invalid(f"[metadata] vendor_data_file {path}: not a JSON object")
    return content


def targets(words: Sequence[str]) -> dict[str, str]:
    """URLs by name, from words such as `name@http://host/path`. Raises: Invalid."""
    found: dict[str, str] = {}
    for word in words:
        name, _, url = word.partition("@")
        if not name or not url.startswith(("http://", "https://")):
            raise Invalid(f"[metadata] vendor_data_targets: {word} is not NAME@URL")
        if name in found or name == "static":
            raise Invalid(f"[metadata] vendor_data_targets: the name {name} is taken")
        found[name] = url
    return found

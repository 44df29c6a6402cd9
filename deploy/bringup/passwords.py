# SPDX-License-Identifier: Apache-2.0
"""Passwords of one cloud: made once, kept in a file that only root reads, never printed."""

import json
import secrets
from pathlib import Path

from deploy.bringup.paths import write

NAMES = ("admin", "demo", "service", "database", "broker", "erlang_cookie")


def ensure(file: Path) -> dict[str, str]:
    """Every password by name. Again: the same ones; what is missing is added."""
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    complete = {name: known.get(name) or secrets.token_hex(16) for name in NAMES}
    write(file, json.dumps(complete, indent=2) + "\n", mode=0o600)
    return complete

# SPDX-License-Identifier: Apache-2.0
"""What on this machine is a test run's own, so that a look at the machine can tell when it is over.

Processes know their run by an environment variable, which their children inherit. Everything else
(folders, namespaces, devices) is told by a word in its name that no other run uses: who makes such
a thing notes that word. Outside of a test run nothing is noted.
"""

import os
import secrets
import tempfile
from pathlib import Path

VARIABLE = "KILONOVA_TESTS"


def begin() -> Path:
    """Begin a run; the file with its words. Workers, being children, are part of it."""
    words = Path(tempfile.gettempdir(), f"kn-words-{secrets.token_hex(6)}")
    words.touch()
    os.environ[VARIABLE] = str(words)
    return words


def note(word: str) -> str:
    """Say that all with this word in its name is ours; the word."""
    if words := os.environ.get(VARIABLE):
        with Path(words).open("a") as file:
            file.write(f"{word}\n")
    return word


def folder(kind: str) -> Path:
    """A new folder of ours. In /tmp itself: unix sockets in it need a short path."""
    made = Path(tempfile.mkdtemp(prefix=f"kn-{kind}-", dir="/tmp"))
    note(made.name)
    return made

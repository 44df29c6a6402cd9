# SPDX-License-Identifier: Apache-2.0
"""Names of new servers, and the host names that their guests get."""

import re

_LONGEST = 63
_SEPARATORS = re.compile(r"[ ._]")
_FOREIGN = re.compile(r"[^a-z0-9-]+")


def nth_name(name: str, number: int, count: int) -> str:
    """The name of one of `count` servers that were asked for under one name, from 1."""
    return name if count == 1 else f"{name}-{number}"


def hostname_of(name: str, uuid: str) -> str:
    """What a guest may call itself that is named `name`: lower case, no spaces, 63 characters.

    No dots either: `ubuntu-22.04` is no host of a domain `04`, which DNS would refuse. A name of
    which nothing is left gives `server-<uuid>`.
    """
    plain = _FOREIGN.sub("", _SEPARATORS.sub("-", name).lower()).strip("-")
    return plain[:_LONGEST].rstrip("-") or f"server-{uuid}"

# SPDX-License-Identifier: Apache-2.0
"""The base of every object that crosses the bus.

Compatibility between neighbouring releases rests on two rules that msgspec enforces: a decoder
ignores fields that it does not know, and a field added later has a default. A change that these
rules cannot carry gets a new `schema` number and a line in `common/rpc/releases.py`.
"""

from typing import ClassVar

import msgspec


class Versioned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that crosses the bus; equal when all fields are."""

    schema: ClassVar[int] = 1

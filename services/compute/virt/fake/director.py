# SPDX-License-Identifier: Apache-2.0
"""How operations of fake hosts go: how long they take, and which fail."""

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import errors
from common.errors import HypervisorError, KilonovaError
from services.compute.virt.driver import Checkpoint

_SLICE_S = 0.05  # how long a delay sleeps between two checkpoints


@dataclass(frozen=True)
class Fault:
    """`operation` (or `*`) fails with `error` in `probability` of its runs."""

    operation: str
    probability: float
    error: str

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """From `operation:probability:error`. Raises: ValueError."""
        operation, probability, error = text.split(":")
        if not issubclass(getattr(errors, error, object), KilonovaError):
            raise ValueError(f"{error} is not an error of common/errors.py")
        return cls(operation, float(probability), error)


@dataclass(frozen=True)
class Behaviour:
    """How operations go: seconds by operation, and which fail."""

    delays_s: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, delays_ms: Mapping[str, Any], faults: Iterable[str]) -> "Behaviour":
        """From configured text. Raises: ValueError."""
        return cls(
            {operation: float(ms) / 1000 for operation, ms in delays_ms.items()},
            tuple(Fault.parse(text) for text in faults),
        )


class Director:
    """Says how each operation goes; a control file overrules what was configured.

    A test changes the file while the process runs. Shared by all fake hosts of a process.
    """

    def __init__(
        self,
        configured: Behaviour,
        *,
        control_file: Path | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._configured = configured
        self._control_file = control_file
        self._chance = chance
        self._read: tuple[int, Behaviour] | None = None

    def perform(self, operation: str, checkpoint: Checkpoint) -> None:
        """Take the operation's time, then fail if it shall. Raises what the fault names."""
        behaviour = self._current()
        delay_s = behaviour.delays_s.get(operation, behaviour.delays_s.get("*", 0))
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0:
            checkpoint()
            time.sleep(min(left_s, _SLICE_S))
        checkpoint()
        for fault in behaviour.faults:
            if fault.operation in (operation, "*") and self._chance() < fault.probability:
                reason = f"{operation} fails here by order of the configuration"
                raise getattr(errors, fault.error)(reason, reason=reason)

    def _current(self) -> Behaviour:
        if self._control_file is None:
            return self._configured
        try:
            changed_ns = self._control_file.stat().st_mtime_ns
            if self._read is None or self._read[0] != changed_ns:
                orders = json.loads(self._control_file.read_text())
                parsed = Behaviour.parse(orders.get("delays_ms", {}), orders.get("faults", []))
                self._read = (changed_ns, parsed)
            return self._read[1]
        except FileNotFoundError:
            return self._configured
        except (ValueError, TypeError) as unreadable:
            raise HypervisorError(reason=f"{self._control_file}: {unreadable}") from unreadable

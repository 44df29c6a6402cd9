# SPDX-License-Identifier: Apache-2.0
"""What a weigher is, and how scores are made of several.

A weigher is a function of hosts and a request to numbers of any unit, higher being better. As
Nova's operators know it, each weigher's numbers are stretched to 0..1 over the hosts that passed
the filters (all alike: 0) and then multiplied by its multiplier, which an aggregate may override
for its hosts; the sum is the host's score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.host_table import Floats, HostColumns, Rows
from services.scheduler.settings import Settings

Weighs = Callable[[HostColumns, RequestSpec], Floats]
TunedWeighs = Callable[[HostColumns, RequestSpec, Settings], Floats]
_MULTIPLIER = "_weight_multiplier"


@dataclass(frozen=True)
class Weigher:
    """A weigher by its name, with how much it counts.

    An aggregate may say otherwise for its hosts: `<name>_weight_multiplier` in its metadata, the
    least where a host has several.
    """

    name: str
    weighs: Weighs
    multiplier: float

    def multipliers(self, hosts: HostColumns) -> Floats:
        """How much it counts for each host."""
        return hosts.least(self.name + _MULTIPLIER, self.multiplier)


_WEIGHERS: dict[str, Callable[[Settings], Weighs]] = {}


def host_weigher(name: str) -> Callable[[Weighs], Weighs]:
    """Make a function the weigher `name`."""

    def register(weighs: Weighs) -> Weighs:
        _WEIGHERS[name] = lambda settings: weighs
        return weighs

    return register


def tuned_weigher(name: str) -> Callable[[TunedWeighs], TunedWeighs]:
    """Make a function the weigher `name` that is given the operator's settings, too."""

    def register(weighs: TunedWeighs) -> TunedWeighs:
        _WEIGHERS[name] = lambda settings: lambda hosts, spec: weighs(hosts, spec, settings)
        return weighs

    return register


def weighers(multipliers: Mapping[str, float], settings: Settings | None = None) -> list[Weigher]:
    """The weighers of these names with their multipliers."""
    settings = settings or Settings()
    return [Weigher(name, _WEIGHERS[name](settings), times) for name, times in multipliers.items()]


class Scale:
    """The stretch of each weigher to 0..1, fixed once for a request: a host that takes an
    instance is weighed again on the same scale, and no other host's score changes."""

    def __init__(
        self, weighers: Sequence[Weigher], hosts: HostColumns, spec: RequestSpec, passed: Rows
    ) -> None:
        self._spec = spec
        self._weighers: list[tuple[Weigher, float, float]] = []
        for weigher in weighers if len(passed) else ():
            if not weigher.multiplier and not weigher.multipliers(hosts).any():
                continue
            values = weigher.weighs(hosts, spec)[passed]
            lowest, highest = float(values.min()), float(values.max())
            # Hosts that are all alike stay so until one takes an instance; it then falls behind.
            span = (highest - lowest) or max(1.0, abs(lowest))
            self._weighers.append((weigher, lowest, span))

    def scores(self, hosts: HostColumns) -> Floats:
        """The score of each host."""
        total = np.zeros(len(hosts))
        for weigher, lowest, span in self._weighers:
            stretched = (weigher.weighs(hosts, self._spec) - lowest) / span
            total += stretched * weigher.multipliers(hosts)
        return total

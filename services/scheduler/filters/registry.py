# SPDX-License-Identifier: Apache-2.0
"""What a filter is, and how the enabled ones are found by name.

A filter is a pure function of (hosts, spec) to a mask of the hosts it accepts. It also says in
words why it turned hosts away: one text, or a function where the reasons differ by host.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from common.errors import Invalid
from common.objects.request_spec import RequestSpec
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.settings import Settings


class TurnedAway(NamedTuple):
    """So many hosts, and what is to be said of them: "38 without 4096 MiB of free memory"."""

    hosts: int
    text: str


Accepts = Callable[[HostColumns, RequestSpec], Mask]
Explains = Callable[[HostColumns, RequestSpec, Mask], Sequence[TurnedAway]]


@dataclass(frozen=True)
class Filter:
    """A filter by its name. `explains` gets a mask of the hosts that it turned away."""

    name: str
    accepts: Accepts
    explains: Explains


TunedAccepts = Callable[[HostColumns, RequestSpec, Settings], Mask]
TunedExplains = Callable[[HostColumns, RequestSpec, Mask, Settings], Sequence[TurnedAway]]

_FILTERS: dict[str, Callable[[Settings], Filter]] = {}


def host_filter(name: str, *, turned_away: str | Explains) -> Callable[[Accepts], Accepts]:
    """Make a function the filter `name`."""

    def register(accepts: Accepts) -> Accepts:
        explains = _always(turned_away) if isinstance(turned_away, str) else turned_away
        _FILTERS[name] = lambda settings: Filter(name, accepts, explains)
        return accepts

    return register


def tuned_filter(
    name: str, *, turned_away: str | TunedExplains
) -> Callable[[TunedAccepts], TunedAccepts]:
    """Make a function the filter `name` that is given the operator's settings, too."""

    def register(accepts: TunedAccepts) -> TunedAccepts:
        def make(settings: Settings) -> Filter:
            if isinstance(turned_away, str):
                explains = _always(turned_away)
            else:
                explains = functools.partial(_with_settings, turned_away, settings)
            return Filter(name, lambda hosts, spec: accepts(hosts, spec, settings), explains)

        _FILTERS[name] = make
        return accepts

    return register


def _with_settings(
    explains: TunedExplains,
    settings: Settings,
    hosts: HostColumns,
    spec: RequestSpec,
    turned_away: Mask,
) -> Sequence[TurnedAway]:
    return explains(hosts, spec, turned_away, settings)


def _always(text: str) -> Explains:
    return lambda hosts, spec, turned_away: [TurnedAway(int(turned_away.sum()), text)]


def counted_once(turned_away: Mask, demands: Iterable[tuple[Mask, str]]) -> list[TurnedAway]:
    """Each host that was turned away, under the first demand that it fails.

    `demands` are (hosts that meet it, what is to be said of the others).
    """
    answers, left = [], turned_away
    for meeting, text in demands:
        answers.append(TurnedAway(int((left & ~meeting).sum()), text))
        left = left & meeting
    return answers


def filters_named(names: Iterable[str], settings: Settings | None = None) -> list[Filter]:
    """The filters of these names, in their order. Raises: Invalid (a name is unknown)."""
    settings = settings or Settings()
    found = []
    for name in names:
        if name not in _FILTERS:
            known = ", ".join(sorted(_FILTERS))
            raise Invalid(f"[scheduler] enabled_filters: unknown filter {name}; known: {known}")
        found.append(_FILTERS[name](settings))
    return found

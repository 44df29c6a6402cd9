# SPDX-License-Identifier: Apache-2.0
"""Choosing hosts: one pass of mask, score and choice for all instances of a request."""

import random
from collections.abc import Sequence

import msgspec
import numpy as np

from common.clock import Clock
from common.objects.request_spec import Candidate, RequestSpec, Selection
from services.scheduler.explain import explain
from services.scheduler.filters.registry import Filter
from services.scheduler.host_table import HostColumns, HostTable, Mask
from services.scheduler.weighers.registry import Scale, Weigher

# How long a choice counts as taken when no delta of the host says what became of it: longer than
# a claim and its delta need, shorter than anybody would wait for a host to look free again.
EXPECTED_FOR_S = 5.0


class Chooser:
    """Chooses by fixed filters and weighers; `rng` breaks the tie among the best
    `host_subset_size` hosts."""

    def __init__(
        self,
        filters: Sequence[Filter],
        weighers: Sequence[Weigher],
        *,
        alternates: int,
        host_subset_size: int,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._filters = filters
        self._weighers = weighers
        self._alternates = alternates
        self._subset_size = host_subset_size
        self._clock = clock
        self._rng = rng

    def select(self, hosts: HostTable, spec: RequestSpec) -> Selection:
        """A host and alternates for each instance of `spec`; a reason when one got none.

        What earlier requests are only expected to take never makes this one fail: the conductor's
        claim decides, so without a host the pass is repeated without these expectations.
        """
        now = self._clock.monotonic()
        hosts.forget_expected(now)
        selection = self._try(hosts, spec, now)
        if selection.reason and hosts.forget_expected(now + EXPECTED_FOR_S):
            selection = self._try(hosts, spec, now)
        return selection

    def _try(self, hosts: HostTable, spec: RequestSpec, now: float) -> Selection:
        this = _Pass(hosts, spec, self._filters, self._weighers)
        chosen: list[tuple[Candidate, ...]] = []
        for instance in spec.instance_uuids:
            rows = self._choose(this)
            chosen.append(tuple(hosts.names[row] for row in rows))
            if rows:
                this.take(rows[0], instance, until=now + EXPECTED_FOR_S)
        reason = "" if all(chosen) else explain(hosts, this.spec, self._filters)
        return Selection(candidates=tuple(chosen), reason=reason)

    def _choose(self, this: "_Pass") -> list[int]:
        """Rows of the host for one instance and of its alternates, best first."""
        best = this.best(max(1 + self._alternates, self._subset_size))
        among = min(self._subset_size, len(best))
        if among > 1:
            best.insert(0, best.pop(self._rng.randrange(among)))
        return best[: 1 + self._alternates]


class _Pass:
    """One request over one table: who is accepted and with which score, kept true while
    instances are placed. `spec`: the request, with the members of its group as they are expected.
    """

    def __init__(
        self,
        hosts: HostTable,
        spec: RequestSpec,
        filters: Sequence[Filter],
        weighers: Sequence[Weigher],
    ) -> None:
        self._hosts, self._asked, self._filters, self._weighers = hosts, spec, filters, weighers
        self._unplaced = set(spec.instance_uuids)
        self._look()

    def _look(self) -> None:
        """Judge and weigh every host as things are now."""
        self.spec = self._with_expected_members()
        accepted = self._accepted(self._hosts)
        self._scale = Scale(self._weighers, self._hosts, self.spec, np.flatnonzero(accepted))
        self._scores = np.where(accepted, self._scale.scores(self._hosts), -np.inf)

    def _with_expected_members(self) -> RequestSpec:
        group = self._asked.group
        if group is None:
            return self._asked
        seen = self._hosts.members.seen_in(group, but_for=self._unplaced)
        return msgspec.structs.replace(self._asked, group=seen)

    def _accepted(self, hosts: HostColumns) -> Mask:
        accepted = np.ones(len(hosts), np.bool_)
        for filter_ in self._filters:
            accepted &= filter_.accepts(hosts, self.spec)
        return accepted

    def best(self, number: int) -> list[int]:
        """Rows of the `number` best hosts, fewer when fewer are accepted."""
        scores = self._scores
        if number < len(scores):
            rows = np.argpartition(-scores, number)[:number]
        else:
            rows = np.arange(len(scores))
        rows = rows[np.lexsort((rows, -scores[rows]))]
        return [int(row) for row in rows if scores[row] > -np.inf]

    def take(self, row: int, instance: str, *, until: float) -> None:
        """Expect an instance on a host; its score follows, and it is out once it is full."""
        self._hosts.expect(row, self.spec.need, until)
        self._unplaced.discard(instance)
        if self.spec.group is not None:
            # Where one member goes bears on every host for the next.
            host = self._hosts.names[row].host
            self._hosts.members.expect(self.spec.group.uuid, instance, host, until)
            self._look()
            return
        one = self._hosts.only(row)
        self._scores[row] = self._scale.scores(one)[0] if self._accepted(one)[0] else -np.inf

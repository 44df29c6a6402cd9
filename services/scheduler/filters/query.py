# SPDX-License-Identifier: Apache-2.0
"""Hosts that a query in the hints of a request is true of."""

from collections.abc import Sequence

import numpy as np

from common.errors import Invalid
from common.objects.request_spec import RequestSpec
from services.scheduler import json_query
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Mask


def why_not(hosts: HostColumns, spec: RequestSpec, turned_away: Mask) -> Sequence[TurnedAway]:
    """That the query is not true of them, or what is wrong with it."""
    text = "that the query is not true of"
    try:
        json_query.parse(_query(spec) or "")
    except Invalid as wrong:
        text = f"not looked at, since the query cannot be understood: {wrong}"
    return [TurnedAway(int(turned_away.sum()), text)]


@host_filter("JsonFilter", turned_away=why_not)
def fits_the_query(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that the hint `query` is true of; none when it cannot be understood."""
    text = _query(spec)
    if text is None:
        return np.ones(len(hosts), np.bool_)
    try:
        return json_query.evaluate(json_query.parse(text), hosts)
    except Invalid:
        return np.zeros(len(hosts), np.bool_)


def _query(spec: RequestSpec) -> str | None:
    return next(iter(spec.scheduler_hints.get("query", ())), None)

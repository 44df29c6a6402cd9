# SPDX-License-Identifier: Apache-2.0
"""Hosts by the metadata of the aggregates that they are in."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, host_filter, tuned_filter
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.kinds import Membership
from services.scheduler.requirements import Requirement
from services.scheduler.settings import Settings

SCOPE = "aggregate_instance_extra_specs"
_TENANT_KEY = "filter_tenant_id"
_FLAVOR_KEY = "instance_type"


def _asked(spec: RequestSpec) -> Mapping[str, Requirement]:
    """What the flavor asks of aggregates: keys of the scope, and keys without any."""
    found = {}
    for key, text in spec.extra_specs.items():
        scope, colon, rest = key.partition(":")
        if not colon or scope == SCOPE:
            found[rest if colon else key] = Requirement.parse(text)
    return found


def what_the_flavor_asks(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """Names what the flavor asks of aggregates, as the flavor has it."""
    asked = ", ".join(f"{key} {asked.text}" for key, asked in _asked(spec).items())
    return [TurnedAway(int(turned_away.sum()), f"in no aggregate that the flavor wants ({asked})")]


@host_filter("AggregateInstanceExtraSpecsFilter", turned_away=what_the_flavor_asks)
def in_aggregates_of_the_flavor(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts in aggregates whose metadata meets each of the flavor's extra specs."""
    asked = _asked(spec)
    if not asked:
        return np.ones(len(hosts), np.bool_)

    def meets(membership: Membership) -> bool:
        metadata = membership.metadata
        return all(
            any(requirement.is_met_by(value) for value in metadata.get(key, ()))
            for key, requirement in asked.items()
        )

    return hosts.by_membership(meets)


@tuned_filter(
    "AggregateImagePropertiesIsolation", turned_away="in an aggregate for images of another kind"
)
def in_aggregates_of_the_image(hosts: HostColumns, spec: RequestSpec, settings: Settings) -> Mask:
    """Hosts whose aggregates do not want another value of one of the image's properties.

    With a namespace only keys that begin with it are heeded.
    """
    namespace = settings.image_isolation_namespace
    prefix = f"{namespace}{settings.image_isolation_separator}" if namespace else ""
    properties = spec.image_properties

    def suits(membership: Membership) -> bool:
        return all(
            properties[key] in values
            for key, values in membership.metadata.items()
            if key.startswith(prefix) and properties.get(key)
        )

    return hosts.by_membership(suits)


@host_filter(
    "AggregateMultiTenancyIsolation", turned_away="in an aggregate that is for other projects"
)
def open_to_the_project(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that no aggregate keeps for other projects (`filter_tenant_id`, with any ending)."""

    def is_open(membership: Membership) -> bool:
        allowed = [
            values for key, values in membership.metadata.items() if key.startswith(_TENANT_KEY)
        ]
        return not allowed or any(spec.project_id in values for values in allowed)

    return hosts.by_membership(is_open)


@host_filter("AggregateTypeAffinityFilter", turned_away="in an aggregate that is for other flavors")
def open_to_the_flavor(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that no aggregate keeps for other flavors (`instance_type`: names of flavors)."""

    def is_open(membership: Membership) -> bool:
        names = membership.metadata.get(_FLAVOR_KEY)
        return names is None or spec.flavor_name in names

    return hosts.by_membership(is_open)

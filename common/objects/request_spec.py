# SPDX-License-Identifier: Apache-2.0
"""RequestSpec: what the scheduler is asked, and what it answers."""

from common.objects.resources import Resources
from common.objects.server_group import GroupSpec
from common.objects.versioned import Versioned


class RequestSpec(Versioned, frozen=True, kw_only=True):
    """Where may these instances go? `count` alike instances are placed in one pass.

    `image_properties` and `extra_specs` are the raw text properties that filters read.
    `excluded_hosts` failed already for these instances, or are what they are to leave. A guest that
    runs needs a hypervisor of the `hypervisor_type` it runs on, at least as new (None: any).
    `hint_hosts`: on which host those instances are that the hints `different_host` and `same_host`
    name, where they are the project's own.
    """

    instance_uuids: tuple[str, ...]
    project_id: str
    need: Resources
    availability_zone: str | None = None
    image_properties: dict[str, str] = {}
    extra_specs: dict[str, str] = {}
    scheduler_hints: dict[str, list[str]] = {}
    requested_host: str | None = None
    requested_node: str | None = None
    excluded_hosts: tuple[str, ...] = ()
    group: GroupSpec | None = None
    hypervisor_type: str | None = None
    hypervisor_version: int = 0
    image_id: str | None = None
    flavor_name: str = ""
    hint_hosts: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many instances are to be placed."""
        return len(self.instance_uuids)


class Candidate(Versioned, frozen=True, kw_only=True):
    """A host that can take an instance."""

    host_uuid: str
    host: str
    node: str


class Selection(Versioned, frozen=True, kw_only=True):
    """For each instance of the spec, in order: the best host first, then its alternates.

    `reason` says in words how many hosts each filter turned away, when some instance got none
    (its tuple is empty then).
    """

    candidates: tuple[tuple[Candidate, ...], ...]
    reason: str = ""

# SPDX-License-Identifier: Apache-2.0
"""Quotas: what a project may have, counted from its rows inside the transaction that adds to it.

Nothing is kept beside the instances, so there is nothing to drift and nothing to repair.
"""

import base64
from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from common.errors import Invalid, KeypairQuotaExceeded, QuotaExceeded
from common.objects.flavor import Flavor
from common.objects.injected_file import InjectedFile
from common.objects.quota import QuotaSet
from services.conductor.db import keypairs, quotas, server_groups
from services.conductor.db.quotas import QuotaState

UNLIMITED = -1
# Quotas of the networks before there was a network service: shown, never enforced.
_OF_OLD_NETWORKS = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
# The one resource whose option has another name.
_OPTION_OF = {"injected_file_path_bytes": "injected_file_path_length"}
_RESOURCES = (
    "instances", "cores", "ram", "metadata_items", "injected_files",
    "injected_file_content_bytes", "injected_file_path_bytes", "key_pairs", "server_groups",
    "server_group_members",
)  # fmt: skip


class Quota:
    """Limits of projects that have none of their own are `options`, by name of the option."""

    def __init__(self, options: Mapping[str, int]) -> None:
        self._options = {name: options[_OPTION_OF.get(name, name)] for name in _RESOURCES}
        self._options |= dict.fromkeys(_OF_OLD_NETWORKS, UNLIMITED)

    def check_create(
        self,
        conn: Connection,
        project_id: str,
        user_id: str,
        *,
        flavor: Flavor,
        min_count: int,
        max_count: int,
        metadata_items: int = 0,
    ) -> int:
        """How many new instances of `flavor` fit: `max_count`, or less but at least `min_count`.

        Holds the project's lock until the transaction ends, so what fits now fits when the rows
        are committed. Raises: QuotaExceeded, when not even `min_count` fit.
        """
        quotas.lock(conn, project_id)
        state = quotas.state(conn, project_id, user_id)
        self._check_metadata(state, metadata_items)
        each = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.memory_mib}
        fit = max_count
        short: dict[str, tuple[int, int]] = {}
        for limits, usage in self._applying(state):
            for resource, amount in each.items():
                room = _room(limits[resource], usage[resource], amount, max_count)
                if room < min_count:
                    short.setdefault(resource, (usage[resource], limits[resource]))
                fit = min(fit, room)
        if short:
            raise _exceeded({name: each[name] * min_count for name in short}, short)
        return fit

    def check_resize(
        self, conn: Connection, project_id: str, user_id: str, *, old: Flavor, new: Flavor
    ) -> None:
        """Refuse a flavor that takes more than what is left. Raises: QuotaExceeded.

        Holds the project's lock until the transaction ends.
        """
        quotas.lock(conn, project_id)
        more = {"cores": new.vcpus - old.vcpus, "ram": new.memory_mib - old.memory_mib}
        more = {resource: amount for resource, amount in more.items() if amount > 0}
        short: dict[str, tuple[int, int]] = {}
        for limits, usage in self._applying(quotas.state(conn, project_id, user_id)):
            for resource, amount in more.items():
                if not _room(limits[resource], usage[resource], amount, 1):
                    short.setdefault(resource, (usage[resource], limits[resource]))
        if short:
            raise _exceeded({name: more[name] for name in short}, short)

    def check_metadata(self, conn: Connection, project_id: str, user_id: str, items: int) -> None:
        """Refuse more metadata items than a server may have. Raises: QuotaExceeded."""
        self._check_metadata(quotas.state(conn, project_id, user_id), items)

    def _check_metadata(self, state: QuotaState, items: int) -> None:
        limit = self._limits(state)["metadata_items"]
        if UNLIMITED < limit < items:
            raise QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")

    def check_injected_files(
        self, conn: Connection, project_id: str, user_id: str, files: Sequence[InjectedFile]
    ) -> None:
        """Refuse files that are too many, too long or too deep. Raises: QuotaExceeded."""
        if not files:
            return
        limits = self._limits(quotas.state(conn, project_id, user_id))
        figures = {
            "injected_files": ("Personality file limit exceeded", len(files)),
            "injected_file_path_bytes": (
                "Personality file path exceeds maximum {limit}",
                max(len(file.path.encode()) for file in files),
            ),
            "injected_file_content_bytes": (
                "Personality file content exceeds maximum {limit}",
                max(len(base64.b64decode(file.contents)) for file in files),
            ),
        }
        for resource, (message, figure) in figures.items():
            if UNLIMITED < limits[resource] < figure:
                raise QuotaExceeded(message.format(limit=limits[resource]))

    def check_keypair(self, conn: Connection, project_id: str, user_id: str) -> None:
        """Refuse one more key pair of a user. Raises: KeypairQuotaExceeded."""
        quotas.lock(conn, user_id)
        limit = self._limits(quotas.state(conn, project_id, user_id))["key_pairs"]
        if UNLIMITED < limit <= keypairs.count(conn, user_id):
            raise KeypairQuotaExceeded

    def check_server_group(self, conn: Connection, project_id: str, user_id: str) -> None:
        """Refuse one more server group of a project. Raises: QuotaExceeded."""
        quotas.lock(conn, project_id)
        limit = self._limits(quotas.state(conn, project_id, user_id))["server_groups"]
        if UNLIMITED < limit <= server_groups.count(conn, project_id):
            raise QuotaExceeded("Quota exceeded, too many server groups.")

    def check_group_members(
        self, conn: Connection, project_id: str, user_id: str, members: int
    ) -> None:
        """Refuse more members of a server group than it may have. Raises: QuotaExceeded."""
        limit = self._limits(quotas.state(conn, project_id, user_id))["server_group_members"]
        if UNLIMITED < limit < members:
            raise QuotaExceeded("Quota exceeded, too many servers in group")

    def quota_set(
        self,
        conn: Connection,
        project_id: str,
        user_id: str | None = None,
        *,
        with_usage: bool = False,
    ) -> QuotaSet:
        """Limits of a project, or of one user of it, and what is in use."""
        state = quotas.state(conn, project_id, user_id)
        limits = self._limits(state)
        in_use = dict.fromkeys(limits, 0) | (state.user_usage if user_id else state.usage)
        if with_usage:
            in_use["server_groups"] = server_groups.count(conn, project_id)
        return QuotaSet(scope=project_id, limits=limits, in_use=in_use if with_usage else {})

    def defaults(self, conn: Connection) -> QuotaSet:
        """The limits of a project that has none of its own."""
        limits = self._options | quotas.state(conn, "").defaults
        return QuotaSet(scope="default", limits=limits)

    def class_set(self, conn: Connection, class_name: str) -> QuotaSet:
        """The limits of a quota class; what it does not set is as configured."""
        limits = self._options | quotas.class_limits(conn, class_name)
        return QuotaSet(scope=class_name, limits=limits)

    def update(
        self,
        conn: Connection,
        project_id: str,
        user_id: str | None,
        limits: dict[str, int],
        *,
        force: bool = False,
    ) -> QuotaSet:
        """Set limits of a project, or of one user of it; all of them afterwards.

        Raises: Invalid (unknown resource; below usage, or above the project's, without `force`).
        """
        quotas.lock(conn, project_id)
        state = quotas.state(conn, project_id, user_id)
        usage = state.user_usage if user_id else state.usage
        ceiling = self._options | state.defaults | state.project_limits
        for resource, limit in limits.items():
            if resource not in self._options or limit < UNLIMITED:
                raise Invalid(f"Bad quota: {resource}={limit}")
            if force:
                continue
            used = usage.get(resource, 0)
            if UNLIMITED < limit < used:
                raise Invalid(
                    f"Quota limit {limit} for {resource} must be greater than or equal to "
                    f"already used and reserved {used}."
                )
            if user_id and ceiling[resource] != UNLIMITED and not 0 <= limit <= ceiling[resource]:
                raise Invalid(
                    f"Quota limit {limit} for {resource} must be less than or equal to "
                    f"{ceiling[resource]}."
                )
        quotas.put(conn, project_id, user_id, limits)
        return self.quota_set(conn, project_id, user_id)

    def _limits(self, state: QuotaState) -> dict[str, int]:
        return self._options | state.defaults | state.project_limits | state.user_limits

    def _applying(self, state: QuotaState) -> list[tuple[dict[str, int], dict[str, int]]]:
        """Pairs of limits and usage that all must hold: the project's and, if set, the user's."""
        project = self._options | state.defaults | state.project_limits
        pairs = [(project, state.usage)]
        if state.user_limits:
            pairs.append((project | state.user_limits, state.user_usage))
        return pairs


def _room(limit: int, used: int, amount: int, wanted: int) -> int:
    """How many more things of `amount` each fit, up to `wanted`."""
    if limit == UNLIMITED or amount == 0:
        return wanted
    return min(wanted, max(0, limit - used) // amount)


def _exceeded(requested: dict[str, int], short: dict[str, tuple[int, int]]) -> QuotaExceeded:
    names = sorted(short)
    return QuotaExceeded(
        resources=", ".join(names),
        requested=", ".join(str(requested[name]) for name in names),
        used=", ".join(str(short[name][0]) for name in names),
        limit=", ".join(str(short[name][1]) for name in names),
    )

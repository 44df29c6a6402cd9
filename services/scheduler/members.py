# SPDX-License-Identifier: Apache-2.0
"""Members of server groups that this scheduler has just placed: the database knows them later."""

from collections.abc import Collection

import msgspec

from common.objects.server_group import GroupSpec


class ExpectedMembers:
    """On which host each member is expected, for a while; the last choice for it holds."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, tuple[str, float]]] = {}

    def expect(self, group: str, instance: str, host: str, until: float) -> None:
        """Count a member on a host until the moment `until`."""
        self._groups.setdefault(group, {})[instance] = (host, until)

    def forget(self, now: float) -> bool:
        """Drop what was expected until `now` or earlier; whether there was any."""
        before = sum(map(len, self._groups.values()))
        left = {
            group: {each: known for each, known in members.items() if known[1] > now}
            for group, members in self._groups.items()
        }
        self._groups = {group: members for group, members in left.items() if members}
        return sum(map(len, self._groups.values())) < before

    def seen_in(self, group: GroupSpec, *, but_for: Collection[str]) -> GroupSpec:
        """The group with its expected members, those left out that it counts already.

        `but_for`: instances that are about to be placed, whatever was expected of them before.
        """
        hosts = dict(group.hosts)
        for instance, (host, _) in self._groups.get(group.uuid, {}).items():
            if instance not in but_for and instance not in group.recent:
                hosts[host] = hosts.get(host, 0) + 1
        return msgspec.structs.replace(group, hosts=hosts)

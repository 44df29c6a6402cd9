# SPDX-License-Identifier: Apache-2.0
"""ServerGroup: servers that want to be together, or apart."""

from common.objects.versioned import Versioned

AFFINITY = "affinity"
ANTI_AFFINITY = "anti-affinity"
SOFT_AFFINITY = "soft-affinity"
SOFT_ANTI_AFFINITY = "soft-anti-affinity"


class ServerGroup(Versioned, frozen=True, kw_only=True):
    """A group. `max_per_host` holds for anti-affinity: how many members a host may have.

    `members` are the uuids of its servers that are not deleted.
    """

    uuid: str
    project_id: str
    user_id: str
    name: str
    policy: str
    max_per_host: int | None = None
    members: tuple[str, ...] = ()


class GroupSpec(Versioned, frozen=True, kw_only=True):
    """What the scheduler needs of the group of an instance: where the other members are.

    `hosts` says how many of them each host has. `recent`: uuids of those among them that came not
    long ago, which a scheduler may still expect.
    """

    uuid: str
    name: str
    policy: str
    max_per_host: int = 1
    hosts: dict[str, int] = {}
    recent: tuple[str, ...] = ()

    def allows(self, host: str) -> bool:
        """Whether one more member may go to `host`; soft policies forbid nothing."""
        if self.policy == ANTI_AFFINITY:
            return self.hosts.get(host, 0) < self.max_per_host
        if self.policy == AFFINITY:
            return not self.hosts or host in self.hosts
        return True

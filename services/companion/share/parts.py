# SPDX-License-Identifier: Apache-2.0
"""What the resources of the Shared File Systems API work with."""

from dataclasses import dataclass

from common.clock import Clock
from services.companion.share.exports import Exports
from services.companion.store.engine import Store
from services.companion.volume.jobs import Jobs


@dataclass(frozen=True)
class Parts:
    """Made once, shared by every resource. `most_shares` of a project; -1: no limit."""

    store: Store
    clock: Clock
    exports: Exports
    jobs: Jobs
    most_shares: int

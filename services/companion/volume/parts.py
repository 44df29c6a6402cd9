# SPDX-License-Identifier: Apache-2.0
"""What the resources of the Block Storage API work with."""

from dataclasses import dataclass

from common.clock import Clock
from services.companion.image.files import Files
from services.companion.store.engine import Store
from services.companion.volume.backend import Backend
from services.companion.volume.guard import Guard
from services.companion.volume.jobs import Jobs
from services.companion.volume.quota import Defaults


@dataclass(frozen=True)
class Parts:
    """Made once, shared by every resource. `host`: the name under which storage shows."""

    store: Store
    clock: Clock
    backend: Backend
    files: Files
    guard: Guard
    jobs: Jobs
    quota: Defaults
    default_type: str
    host: str

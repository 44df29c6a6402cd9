# SPDX-License-Identifier: Apache-2.0
"""How a daemon's process treats its memory: less resident, and less time spent looking for garbage.

glibc gives each thread an arena of its own and keeps what a large answer once needed; two arenas
serve daemons whose threads take turns under one interpreter lock anyway. What was imported never
becomes garbage, so the collector need not look at it again, nor as often as for small scripts.
"""

import ctypes
import gc
import logging

LOG = logging.getLogger(__name__)

# glibc's mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ARENAS = 2
_GIVE_BACK_ABOVE_BYTES = 1 << 20
_MAP_ABOVE_BYTES = 256 * 1024
_COLLECT_AFTER = 20_000


def limit_arenas() -> None:
    """Call it before threads are made. Another C library than glibc is left alone."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        LOG.debug("No mallopt in this C library")
        return
    mallopt(_M_ARENA_MAX, _ARENAS)
    mallopt(_M_TRIM_THRESHOLD, _GIVE_BACK_ABOVE_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _MAP_ABOVE_BYTES)


def give_back() -> None:
    """Hand freed memory back to the system; for now and then, it takes some milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle() -> None:
    """Call it once a daemon has started: what is there now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)

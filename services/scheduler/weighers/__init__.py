# SPDX-License-Identifier: Apache-2.0
"""Weighers: which of the hosts that may take an instance should.

Importing the package registers every weigher; `registry.weighers` finds them.
"""

from services.scheduler.weighers import group, images, load

__all__ = ["group", "images", "load"]

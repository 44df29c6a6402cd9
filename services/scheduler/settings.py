# SPDX-License-Identifier: Apache-2.0
"""What operators set for single filters and weighers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Bounds and names that filters and weighers are given.

    `image_weights`: what each property counts for the weigher of images; empty: all count 1.
    """

    max_io_ops: int = 8
    max_instances: int = 50
    isolated_images: frozenset[str] = frozenset()
    isolated_hosts: frozenset[str] = frozenset()
    isolated_hosts_for_isolated_images_only: bool = True
    image_isolation_namespace: str | None = None
    image_isolation_separator: str = "."
    image_weights: Mapping[str, float] = field(default_factory=dict)

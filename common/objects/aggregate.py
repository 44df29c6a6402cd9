# SPDX-License-Identifier: Apache-2.0
"""Aggregate: a set of hosts with metadata; one that carries `availability_zone` makes a zone."""

from datetime import datetime

from common.objects.versioned import Versioned


class Aggregate(Versioned, frozen=True, kw_only=True):
    """A host aggregate."""

    id: int
    uuid: str
    name: str
    hosts: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ZoneView(Versioned, frozen=True, kw_only=True):
    """An availability zone and the services of its hosts: {host: {binary: …}}."""

    name: str
    available: bool
    hosts: dict[str, dict[str, "ZoneService"]] = {}


class ZoneService(Versioned, frozen=True, kw_only=True):
    """A service in an availability zone's detailed view."""

    available: bool
    active: bool
    updated_at: datetime | None = None

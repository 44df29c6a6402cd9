# SPDX-License-Identifier: Apache-2.0
"""Share: what kilonova needs to know of a share of the shared file system service."""

from common.objects.versioned import Versioned


class Share(Versioned, frozen=True, kw_only=True):
    """A share as its service describes it. `size_gib` in GiB.

    `export_location` is where it is mounted from, such as `10.0.0.1:/shares/x`: the preferred one
    of several, None while it has none.
    """

    id: str
    status: str
    protocol: str
    project_id: str | None = None
    size_gib: int = 0
    export_location: str | None = None

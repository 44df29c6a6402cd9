# SPDX-License-Identifier: Apache-2.0
"""ShareMapping: a share that an instance has, or is about to have."""

import enum

from common.objects.versioned import Versioned

# The trait of hosts that can give shares to guests.
HOST_TRAIT = "COMPUTE_STORAGE_VIRTIO_FS"


class ShareStatus(enum.StrEnum):
    """What is with a share of an instance.

    One that the instance has is INACTIVE in its row, and ACTIVE to users while the guest is on.
    """

    ATTACHING = "attaching"
    INACTIVE = "inactive"
    ACTIVE = "active"
    DETACHING = "detaching"
    ERROR = "error"


class ShareMapping(Versioned, frozen=True, kw_only=True):
    """A share of an instance; guests mount it by its `tag`.

    `export_location` and `protocol` (NFS, CEPHFS) are how hosts mount it. `is_given`: the
    guest has it whenever it is on. `is_let_go`: it has it no more, and nothing stands in the way of
    the host's losing its access.
    """

    uuid: str
    share_id: str
    tag: str
    export_location: str
    protocol: str = "NFS"
    status: ShareStatus = ShareStatus.ATTACHING
    is_given: bool = False
    is_let_go: bool = False

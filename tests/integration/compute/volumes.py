# SPDX-License-Identifier: Apache-2.0
"""What the libvirt driver connects volumes with, for its tests: os-brick itself."""

from services.compute.brick import Brick, BrickSettings
from services.compute.volumes import Volumes


def make_volumes(state, host):
    """The volumes of a host whose files are below `state`."""
    settings = BrickSettings(
        host=host, host_ip="127.0.0.1", lock_path=state / "locks", mount_path=state / "mnt"
    )
    return Volumes(state / "volumes", Brick(settings))

# SPDX-License-Identifier: Apache-2.0
"""Volumes for drivers' tests: plain files of this host, as a volume service would describe them."""

import uuid

from common.objects.block_device import BlockDeviceMapping
from services.compute.images import GIB


def make_mapping(**values):
    """A volume that is attached to an instance; a test says how it is reached."""
    return BlockDeviceMapping(
        **{
            "uuid": str(uuid.uuid4()),
            "source": "volume",
            "destination": "volume",
            "boot_index": None,
            "volume_id": str(uuid.uuid4()),
            "size_gib": 1,
            "delete_on_termination": False,
            "attachment_id": str(uuid.uuid4()),
            **values,
        }
    )


class VolumeFolder:
    """Makes volumes that are files in a folder."""

    def __init__(self, folder):
        self._folder = folder

    def make(self, *, size_gib=1, content=b"", **values):
        """A volume, attached to nothing yet; it begins with `content`."""
        volume_id = str(uuid.uuid4())
        path = self.path_of(volume_id)
        with path.open("wb") as file:
            file.write(content)
            file.truncate(size_gib * GIB)
        connection = {
            "driver_volume_type": "local",
            "data": {"device_path": str(path), "access_mode": "rw"},
        }
        return make_mapping(
            **{
                "volume_id": volume_id,
                "size_gib": size_gib,
                "connection": connection,
                **values,
            }
        )

    def path_of(self, volume_id):
        """Where the volume's content is."""
        return self._folder / f"volume-{volume_id}"

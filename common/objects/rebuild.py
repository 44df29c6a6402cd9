# SPDX-License-Identifier: Apache-2.0
"""NewContent: what an instance is rebuilt from."""

from typing import Any

from common.objects.image import ImageMeta
from common.objects.injected_file import InjectedFile
from common.objects.versioned import Versioned


class NewContent(Versioned, frozen=True, kw_only=True):
    """The image that an instance's disks are made from anew, and what else changes with it.

    `changes` has Instance's field names; what is absent stays. `key_name` None in it takes the key
    away. `allows_other_image`: the volume that an instance boots from gets the image's data, which
    may be another one than before; otherwise it must be the same image, and the volume is kept.
    """

    image: ImageMeta
    admin_password: str | None = None
    changes: dict[str, Any] = {}
    injected_files: tuple[InjectedFile, ...] = ()
    preserve_ephemeral: bool = False
    allows_other_image: bool = False

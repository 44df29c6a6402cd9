# SPDX-License-Identifier: Apache-2.0
"""NewContent: what an instance is rebuilt from."""

from typing import Any

from common.objects.image import ImageMeta
from common.objects.injected_file import InjectedFile
from common.objects.versioned import Versioned


class NewContent(Versioned, frozen=True, kw_only=True):
    """The image that an instance's disks are made from anew, and what else changes with it.

    `changes` has Instance's field names; what is absent stays. `key_name` None in it takes the key
    away. `allows_other_image`: whether an instance that boots from a volume may change its image.
    """

    image: ImageMeta
    admin_password: str | None = None
    changes: dict[str, Any] = {}
    injected_files: tuple[InjectedFile, ...] = ()
    preserve_ephemeral: bool = False
    allows_other_image: bool = False

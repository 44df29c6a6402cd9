# SPDX-License-Identifier: Apache-2.0
"""InjectedFile: a file that a server is made with (the API's `personality`, up to 2.56)."""

from common.objects.versioned import Versioned


class InjectedFile(Versioned, frozen=True, kw_only=True):
    """`contents` is base64."""

    path: str
    contents: str

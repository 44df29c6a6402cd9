# SPDX-License-Identifier: Apache-2.0
"""[share]: how kilonova has the shared file system service let hosts mount shares."""

from oslo_config import cfg

GROUP = "share"

OPTS = [
    cfg.IntOpt(
        "access_timeout_s",
        default=10,
        min=1,
        max=600,
        help="Seconds to wait until the shared file system service has let a host mount a share. "
        "Raise it where shares are on storage that is slow to change who may use it.",
    ),
]

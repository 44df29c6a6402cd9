# SPDX-License-Identifier: Apache-2.0
"""[quota]: limits of a project that has none of its own. -1 stands for no limit."""

from oslo_config import cfg

GROUP = "quota"

_DEFAULTS = {
    "instances": (10, "servers"),
    "cores": (20, "vCPUs"),
    "ram": (51200, "MiB of memory"),
    "metadata_items": (128, "metadata items of a server"),
    "injected_files": (5, "injected files of a server (microversions up to 2.56)"),
    "injected_file_content_bytes": (10240, "bytes of an injected file"),
    "injected_file_path_length": (255, "bytes of an injected file's path"),
    "key_pairs": (100, "key pairs of a user"),
    "server_groups": (10, "server groups"),
    "server_group_members": (10, "servers of a server group"),
}

OPTS = [
    cfg.IntOpt(name, default=default, min=-1, help=f"How many {what}; -1: no limit.")
    for name, (default, what) in _DEFAULTS.items()
]

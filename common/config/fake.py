# SPDX-License-Identifier: Apache-2.0
"""[fake]: hosts that exist in memory only, for tests of scale and of failures."""

from oslo_config import cfg

GROUP = "fake"

OPTS = [
    cfg.IntOpt("hosts", default=1, min=1, max=20000, help="Hosts of this one process."),
    cfg.StrOpt(
        "host_prefix",
        default="",
        help="Hosts are called this and their number; empty: a single host is called like the "
        "daemon's own, several are that name, a dash and the number.",
    ),
    cfg.IntOpt("vcpus", default=64, min=1, help="CPUs of each host."),
    cfg.IntOpt("memory_mib", default=262144, min=1, help="MiB of memory of each host."),
    cfg.IntOpt("disk_gib", default=10240, min=1, help="GiB of disk of each host."),
    cfg.DictOpt(
        "delays_ms",
        default={},
        help="Milliseconds that an operation takes, such as `build:200,reboot:50`.",
    ),
    cfg.ListOpt(
        "faults",
        default=[],
        help="Operations that fail: `operation:probability:error`, such as "
        "`build:0.1:HypervisorError`. `*` stands for any operation.",
    ),
    cfg.StrOpt(
        "control_file",
        default="",
        help="JSON file with `faults` and `delays_ms` that hold instead of the configured ones "
        "while it exists. Read again when it changes.",
    ),
    cfg.StrOpt(
        "state_file",
        default="",
        help="File in which guests outlive the process, each as a line; empty: they do not.",
    ),
]

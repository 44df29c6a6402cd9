# SPDX-License-Identifier: Apache-2.0
"""[DEFAULT]: who this host is and where its state lives."""

import socket

from oslo_config import cfg

GROUP = None

OPTS = [
    cfg.HostnameOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<host name>",
        help="Name of this host in the deployment. Must differ from every other host's and stay "
        "the same: instances are bound to it. Change it only before the first start.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/kilonova",
        help="Folder for what must survive a restart: disks of instances, image cache, keys.",
    ),
    cfg.IntOpt(
        "heartbeat_interval_s",
        default=10,
        min=1,
        max=600,
        help="Seconds between a daemon's signs of life. Raise it for very many hosts.",
    ),
    cfg.IntOpt(
        "stop_grace_s",
        default=30,
        min=1,
        max=600,
        help="Seconds a stopping daemon gives the work under way to finish.",
    ),
]

# SPDX-License-Identifier: Apache-2.0
"""[service_user]: as whom kilonova calls the identity, image, network, volume and share services.

The credentials themselves are keystoneauth's own options (auth_type, auth_url, username, …).
"""

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = "service_user"

OPTS = [
    *loading.get_auth_common_conf_options(),
    *loading.get_auth_plugin_conf_options("password"),
    cfg.StrOpt("region_name", default="RegionOne", help="Region whose endpoints are used."),
    cfg.StrOpt(
        "interface",
        default="internal",
        choices=["public", "internal", "admin"],
        help="Which of a service's endpoints to use.",
    ),
    cfg.StrOpt("cafile", default="", help="CA bundle for TLS; empty: the system's."),
    cfg.IntOpt(
        "timeout_s",
        default=10,
        min=1,
        max=600,
        help="Seconds to wait for a service's answer before it counts as away.",
    ),
]

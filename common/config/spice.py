# SPDX-License-Identifier: Apache-2.0
"""[spice]: screens of guests by SPICE, and the door through which browsers see them."""

from oslo_config import cfg

GROUP = "spice"

OPTS = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Give guests a SPICE display where the host's QEMU has it, and serve spice-html5.",
    ),
    cfg.BoolOpt(
        "agent_enabled",
        default=True,
        help="Give guests with SPICE the channel of its agent, for clipboard and screen size.",
    ),
    cfg.HostAddressOpt(
        "server_listen",
        default="127.0.0.1",
        help="Where SPICE displays listen on a compute host. They ask nobody who he is: an "
        "address that only the hosts of kilonova-console reach.",
    ),
    cfg.HostAddressOpt(
        "server_proxyclient_address",
        default="127.0.0.1",
        help="This compute host's address as kilonova-console reaches it.",
    ),
    cfg.URIOpt(
        "html5proxy_base_url",
        schemes=["http", "https"],
        default="http://127.0.0.1:6082/spice_auto.html",
        help="The page of kilonova-console as browsers reach it: users get this URL with a token.",
    ),
    cfg.HostAddressOpt(
        "html5proxy_host", default="127.0.0.1", help="Where kilonova-console serves spice-html5."
    ),
    cfg.PortOpt("html5proxy_port", default=6082, help="Port of spice-html5."),
    cfg.StrOpt(
        "html5_path",
        default="/usr/share/spice-html5",
        help="Folder with spice-html5's files, as the Debian package spice-html5 installs them.",
    ),
    cfg.URIOpt(
        "spice_direct_proxy_base_url",
        schemes=["http", "https"],
        default="http://127.0.0.1:13002/nova",
        help="A proxy for native SPICE clients (type spice-direct), which is no part of kilonova: "
        "users get this URL with a token that it looks up by the API.",
    ),
]

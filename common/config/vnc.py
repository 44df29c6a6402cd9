# SPDX-License-Identifier: Apache-2.0
"""[vnc]: screens of guests, and the door through which browsers see them."""

from oslo_config import cfg, types

GROUP = "vnc"

OPTS = [
    cfg.BoolOpt("enabled", default=True, help="Give guests a VNC display, and serve noVNC."),
    cfg.HostAddressOpt(
        "server_listen",
        default="127.0.0.1",
        help="Where VNC displays listen on a compute host. VNC asks nobody who he is: an address "
        "that only the hosts of kilonova-console reach.",
    ),
    cfg.HostAddressOpt(
        "server_proxyclient_address",
        default="127.0.0.1",
        help="This compute host's address as kilonova-console reaches it.",
    ),
    cfg.URIOpt(
        "novncproxy_base_url",
        schemes=["http", "https"],
        default="http://127.0.0.1:6080/vnc_lite.html",
        help="The page of kilonova-console as browsers reach it: users get this URL with a token.",
    ),
    cfg.HostAddressOpt(
        "novncproxy_host", default="127.0.0.1", help="Where kilonova-console serves noVNC."
    ),
    cfg.PortOpt("novncproxy_port", default=6080, help="Port of noVNC."),
    cfg.ListOpt(
        "auth_schemes",
        item_type=types.String(choices=["none", "vencrypt"]),
        default=["none"],
        help="What VNC displays must ask of kilonova-console: `vencrypt` is TLS, which `vnc_tls` "
        "of the hosts' qemu.conf turns on. Both are for the time in which some have it already.",
    ),
    cfg.StrOpt(
        "vencrypt_client_key",
        default="/etc/pki/kilonova-console/client-key.pem",
        help="Key of kilonova-console's certificate for VNC displays.",
    ),
    cfg.StrOpt(
        "vencrypt_client_cert",
        default="/etc/pki/kilonova-console/client-cert.pem",
        help="kilonova-console's certificate for VNC displays; empty, where they ask for none.",
    ),
    cfg.StrOpt(
        "vencrypt_ca_certs",
        default="/etc/pki/kilonova-console/ca-cert.pem",
        help="Who certifies VNC displays. An authority for these alone: names are not checked.",
    ),
    cfg.StrOpt(
        "novnc_path",
        default="/usr/share/novnc",
        help="Folder with noVNC's files, as the Debian package novnc installs them.",
    ),
]

# SPDX-License-Identifier: Apache-2.0
"""[console]: kilonova-console itself. Where it listens stands in the group of each kind."""

from oslo_config import cfg

GROUP = "console"

OPTS = [
    cfg.HostAddressOpt("health_host", default="127.0.0.1", help="Address of GET /healthz."),
    cfg.PortOpt("health_port", default=8786, help="Port of GET /healthz; 0 turns it off."),
    cfg.ListOpt(
        "allowed_origins",
        default=[],
        help="Host names of other sites whose pages may open consoles, such as a dashboard's. "
        "Pages of the host that a browser asked for always may.",
    ),
    cfg.StrOpt(
        "cert",
        default="",
        help="File with the certificate (PEM, its chain behind it) for TLS; empty: no TLS. The "
        "base URLs are https:// and wss:// then.",
    ),
    cfg.StrOpt(
        "key", default="", help="File with the certificate's key; empty: it is in `cert`, too."
    ),
    cfg.StrOpt(
        "ssl_minimum_version",
        default="tlsv1_2",
        choices=["tlsv1_2", "tlsv1_3"],
        help="Oldest version of TLS that clients may speak.",
    ),
    cfg.StrOpt(
        "ssl_ciphers",
        default="",
        help="Ciphers that TLS 1.2 may use, as OpenSSL writes them; empty: Python's choice.",
    ),
    cfg.IntOpt(
        "max_connections",
        default=512,
        min=1,
        max=16384,
        help="Consoles that may be open at the same time; more are turned away.",
    ),
    cfg.IntOpt(
        "idle_timeout_s",
        default=14400,
        min=0,
        max=604800,
        help="Seconds after which a console on which nothing moves is closed; 0: never.",
    ),
    cfg.StrOpt(
        "network_namespace",
        default="",
        help="Network namespace to reach consoles from, when guests of this machine live in one; "
        "empty: the daemon's own.",
    ),
]

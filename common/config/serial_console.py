# SPDX-License-Identifier: Apache-2.0
"""[serial_console]: serial ports of guests, and the door through which clients reach them."""

from oslo_config import cfg

GROUP = "serial_console"

OPTS = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Have the first serial port of each guest listen on a TCP port of its host, and serve "
        "it. What the guest says there is logged as without.",
    ),
    cfg.HostAddressOpt(
        "proxyclient_address",
        default="127.0.0.1",
        help="Where serial ports listen on a compute host, and kilonova-console reaches them. They "
        "ask nobody who he is.",
    ),
    cfg.StrOpt(
        "port_range",
        default="10000:20000",
        regex=r"^\d{1,5}:\d{1,5}$",
        help="First and last TCP port of a compute host that serial ports get.",
    ),
    cfg.URIOpt(
        "base_url",
        schemes=["ws", "wss"],
        default="ws://127.0.0.1:6083/",
        help="kilonova-console as clients reach it: users get this URL with a token.",
    ),
    cfg.HostAddressOpt(
        "serialproxy_host",
        default="127.0.0.1",
        help="Where kilonova-console serves serial consoles.",
    ),
    cfg.PortOpt("serialproxy_port", default=6083, help="Port of serial consoles."),
]

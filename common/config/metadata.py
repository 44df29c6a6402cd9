# SPDX-License-Identifier: Apache-2.0
"""[metadata]: the service that guests ask about themselves."""

from oslo_config import cfg

GROUP = "metadata"

OPTS = [
    cfg.HostAddressOpt("host", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=8775, help="Port to listen on."),
    cfg.HostAddressOpt("health_host", default="127.0.0.1", help="Address of health_port."),
    cfg.PortOpt(
        "health_port",
        default=0,
        help="Another port for GET /healthz, in the daemon's own network namespace: for "
        "operators, where the guests' port lives in a namespace. 0: only the guests' port has it.",
    ),
    cfg.StrOpt(
        "network_namespace",
        default="",
        help="Network namespace to open the listening socket in, when guests' networks live in "
        "one; empty: the daemon's own.",
    ),
    cfg.IntOpt(
        "threads",
        default=32,
        min=1,
        max=128,
        help="Guests answered at the same time of those that need a thread: who posts a password, "
        "is refused, or waits for a vendor data service. Others are answered without.",
    ),
    cfg.BoolOpt(
        "behind_proxy",
        default=False,
        help="Whether requests come through the network service's proxy, which names the "
        "instance in signed headers. Otherwise the source address tells the instance.",
    ),
    cfg.StrOpt(
        "proxy_shared_secret",
        secret=True,
        default="",
        help="Secret with which the proxy signs. Required with behind_proxy.",
    ),
    cfg.IntOpt(
        "cache_s",
        default=15,
        min=0,
        max=3600,
        help="Seconds for which an answer about an instance is kept.",
    ),
    cfg.StrOpt("dhcp_domain", default="novalocal", help="Domain behind guests' host names."),
    cfg.StrOpt(
        "vendor_data_file",
        default="",
        help="File with a JSON object to serve as vendor_data.json; empty: an empty object.",
    ),
    cfg.ListOpt(
        "vendor_data_targets",
        default=[],
        help="Services that are asked about each guest, as NAME@URL: a POST with what is known "
        "about it, answered by a JSON object, which is in vendor_data2.json under NAME. They get "
        "a token of [service_user] where that has credentials.",
    ),
    cfg.IntOpt(
        "vendor_data_connect_timeout_s",
        default=5,
        min=1,
        max=60,
        help="Seconds to wait for a connection to a vendor data service.",
    ),
    cfg.IntOpt(
        "vendor_data_timeout_s",
        default=5,
        min=1,
        max=60,
        help="Seconds to wait for a vendor data service's answer.",
    ),
    cfg.BoolOpt(
        "vendor_data_needed",
        default=False,
        help="Whether vendor_data2.json is refused (503), and a server with a config drive not "
        "built, while a vendor data service fails. Otherwise such a service says nothing.",
    ),
]

# SPDX-License-Identifier: Apache-2.0
"""[api]: the Compute API's HTTP service."""

from oslo_config import cfg

GROUP = "api"

OPTS = [
    cfg.HostAddressOpt("host", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=8774, help="Port to listen on."),
    cfg.IntOpt(
        "workers",
        default=1,
        min=1,
        max=64,
        help="Processes. One serves some hundred requests a second; each costs about 80 MB.",
    ),
    cfg.IntOpt("threads", default=16, min=1, max=256, help="Threads of each process."),
    cfg.IntOpt("max_limit", default=1000, min=1, max=100000, help="Most items on a page."),
    cfg.IntOpt(
        "max_body_bytes",
        default=114688,
        min=1024,
        help="Largest request body; a larger one gets 413.",
    ),
    cfg.StrOpt(
        "compute_link_prefix",
        default="",
        help="URL that links in answers begin with, when a proxy hides the real one.",
    ),
    cfg.BoolOpt(
        "trust_forwarded_headers",
        default=False,
        help="Heed X-Forwarded-Proto and -Host in links. Only behind a proxy that sets them.",
    ),
    cfg.BoolOpt(
        "enable_instance_password",
        default=True,
        help="Whether create answers with adminPass.",
    ),
    cfg.IntOpt(
        "image_cache_s",
        default=3,
        min=0,
        max=60,
        help="Seconds for which an image's description is trusted before the image service is "
        "asked again. A boot in that time may meet an image that is gone and end in ERROR.",
    ),
    cfg.StrOpt(
        "default_availability_zone",
        default="nova",
        help="Zone of hosts that no aggregate puts into one.",
    ),
]

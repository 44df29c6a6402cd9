# SPDX-License-Identifier: Apache-2.0
"""[rate_limit]: how often the Compute API may be asked."""

from oslo_config import cfg

GROUP = "rate_limit"

_FORM = "Like `600/minute` or `20/second;1000/hour`; empty: no limit."

OPTS = [
    cfg.StrOpt("per_project", default="", help=f"Requests of one project. {_FORM}"),
    cfg.StrOpt(
        "per_address",
        default="",
        help=f"Requests from one address, counted before their token is looked at. {_FORM}",
    ),
    cfg.StrOpt(
        "storage",
        default="memory://",
        help="Where requests are counted, as the `limits` library names it. In memory each process "
        "of the API counts for itself; memcached://HOST:PORT or redis://HOST:PORT count for all.",
    ),
]

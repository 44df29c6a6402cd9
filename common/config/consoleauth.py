# SPDX-License-Identifier: Apache-2.0
"""[consoleauth]: tokens that open consoles."""

from oslo_config import cfg

GROUP = "consoleauth"

OPTS = [
    cfg.IntOpt(
        "token_ttl",
        default=600,
        min=1,
        max=86400,
        help="Seconds for which a console's URL opens it.",
    ),
    cfg.BoolOpt(
        "enforce_session_timeout",
        default=False,
        help="Whether an open console is closed when the token that opened it expires.",
    ),
]

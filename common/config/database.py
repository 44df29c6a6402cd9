# SPDX-License-Identifier: Apache-2.0
"""[database]: the conductor's PostgreSQL."""

from oslo_config import cfg

GROUP = "database"

OPTS = [
    cfg.StrOpt(
        "connection",
        secret=True,
        default="postgresql+psycopg2:///kilonova",
        help="SQLAlchemy URL of the PostgreSQL database. Only the conductor and `kilonova db` "
        "need it: keep it in a file that only they read.",
    ),
    cfg.IntOpt(
        "pool_size",
        default=16,
        min=2,
        max=200,
        help="Connections that one conductor keeps. Not less than its worker and RPC threads "
        "that work at the same time; each costs PostgreSQL some 5 MB.",
    ),
    cfg.IntOpt(
        "connect_timeout_s",
        default=3,
        min=1,
        max=60,
        help="Seconds to wait for a connection before the request is answered with 503.",
    ),
    cfg.IntOpt(
        "statement_timeout_s",
        default=20,
        min=1,
        max=600,
        help="Seconds after which PostgreSQL gives a statement up. A safety net; raise it only "
        "for very large deployments' lists.",
    ),
]

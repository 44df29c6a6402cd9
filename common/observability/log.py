# SPDX-License-Identifier: Apache-2.0
"""Logging: oslo.log, with request id, instance and host on every line.

What a message or a request is about is bound to the thread for its time (`bound`), so a log call
states only its fact.
"""

import contextlib
import contextvars
import logging
from collections.abc import Iterator

from oslo_config import cfg
from oslo_log import log as oslo_log

from common.context import RequestContext

_FORMAT = (
    "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s "
    "[%(request_id)s %(project_id)s %(about)s] %(message)s"
)
_request: contextvars.ContextVar[RequestContext | None] = contextvars.ContextVar(
    "request", default=None
)
_about: contextvars.ContextVar[str] = contextvars.ContextVar("about", default="-")


@contextlib.contextmanager
def bound(
    ctx: RequestContext | None = None, *, instance: str | None = None, host: str | None = None
) -> Iterator[None]:
    """Put the request, and what it is about, on every log line of the block."""
    about = " ".join(
        f"{name}={value}" for name, value in (("instance", instance), ("host", host)) if value
    )
    request_token = _request.set(ctx) if ctx is not None else None
    about_token = _about.set(about) if about else None
    try:
        yield
    finally:
        if about_token is not None:
            _about.reset(about_token)
        if request_token is not None:
            _request.reset(request_token)


class _Binding(logging.Filter):
    """Puts the bound words on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        ctx = _request.get()
        record.request_id = ctx.request_id if ctx else "-"
        record.project_id = (ctx.project_id if ctx else None) or "-"
        record.about = _about.get()
        return True


def register(conf: cfg.ConfigOpts) -> None:
    """Register oslo.log's options; must come before the configuration is parsed."""
    oslo_log.register_options(conf)
    oslo_log.set_defaults(
        default_log_levels=[
            "amqp=WARNING", "amqplib=WARNING", "oslo.messaging=WARNING",
            "oslo_messaging=WARNING", "sqlalchemy=WARNING", "keystoneauth=WARNING",
            "keystonemiddleware=WARNING", "urllib3=WARNING", "stevedore=WARNING",
            "alembic=WARNING", "openstack=WARNING",
        ]
    )  # fmt: skip


def setup(conf: cfg.ConfigOpts, program: str) -> None:
    """Start logging as configured (file, stderr, level)."""
    oslo_log.setup(conf, program)
    binding = _Binding()
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
    for handler in logging.getLogger().handlers:
        handler.addFilter(binding)
        handler.setFormatter(formatter)

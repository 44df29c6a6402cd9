# SPDX-License-Identifier: Apache-2.0
"""Configuration: every option of kilonova, one module a group.

A daemon loads what it needs with `load` in its `daemon.py` and passes plain values on; nothing
else reads configuration.
"""

import importlib
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from common.observability import log

# Modules of this package that define `GROUP` (None: DEFAULT) and `OPTS`.
GROUPS = (
    "default", "api", "scheduler", "conductor", "compute", "libvirt", "fake", "metadata",
    "console", "consoleauth", "vnc", "spice", "serial_console",
    "companion", "database", "quota", "rate_limit", "service_user", "volume", "share",
)  # fmt: skip


def load(program: str, argv: Sequence[str], groups: Sequence[str]) -> cfg.ConfigOpts:
    """Parse `--config-file`s and command line; options of `groups` and of DEFAULT are known.

    Raises oslo.config's own errors for values of the wrong type or out of bounds.
    """
    conf = cfg.ConfigOpts()
    log.register(conf)
    add(conf, ["default", *groups])
    conf(list(argv), project="kilonova", prog=program)
    return conf


def add(conf: cfg.ConfigOpts, groups: Sequence[str]) -> None:
    """Have a configuration know more groups; one that was parsed already reads them from there."""
    for name in groups:
        module = importlib.import_module(f"common.config.{name}")
        conf.register_opts(module.OPTS, group=module.GROUP)


def list_opts() -> list[tuple[str | None, list[Any]]]:
    """Every option, for oslo-config-generator."""
    modules = [importlib.import_module(f"common.config.{name}") for name in GROUPS]
    return [(module.GROUP, module.OPTS) for module in modules]

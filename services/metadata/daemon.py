# SPDX-License-Identifier: Apache-2.0
"""kilonova-metadata: wiring.

The process that gunicorn forks from stays small: what a worker needs is imported in the worker.
"""

import logging
import sys

from oslo_config import cfg

from common import config, wsgi
from common.errors import Invalid
from common.guest_metadata import vendor_data
from common.guest_metadata.openstack_tree import TreeSettings
from common.observability import log
from services.metadata.asker import BySignedHeaders, BySourceAddress, Identifies

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-metadata"
# Guests are on the same network segment: a request that takes longer is no honest one.
_RECEIVE_TIMEOUT_S = 2


def identification(conf: cfg.ConfigOpts) -> Identifies:
    """How guests are told apart. Raises: Invalid (behind a proxy without a secret)."""
    if not conf.metadata.behind_proxy:
        return BySourceAddress()
    if not conf.metadata.proxy_shared_secret:
        raise Invalid("[metadata] behind_proxy needs proxy_shared_secret, the proxy's own secret")
    return BySignedHeaders(conf.metadata.proxy_shared_secret)


def make(conf: cfg.ConfigOpts, identifies: Identifies, settings: TreeSettings) -> wsgi.Served:
    """The application of one worker, with its own connections."""
    from services.metadata.worker import Worker

    return Worker(conf, identifies, settings).start()


def main() -> int:
    """The console script; serves until it is told to stop."""
    conf = config.load(_PROGRAM, sys.argv[1:], ["metadata"])
    log.setup(conf, _PROGRAM)
    options = conf.metadata
    try:
        identifies = identification(conf)
        settings = TreeSettings(
            dhcp_domain=options.dhcp_domain,
            vendor_data=vendor_data.static(options.vendor_data_file),
        )
        vendor_data.targets(options.vendor_data_targets)  # a worker will ask them
    except Invalid as wrong:
        LOG.error("%s", wrong)
        return 1
    wsgi.serve(
        wsgi.ServeOptions(
            name=_PROGRAM,
            host=options.host,
            port=options.port,
            threads=options.threads,
            graceful_timeout_s=conf.stop_grace_s,
            network_namespace=options.network_namespace,
            receive_timeout_s=_RECEIVE_TIMEOUT_S,
        ),
        lambda: make(conf, identifies, settings),
    )
    return 0

# SPDX-License-Identifier: Apache-2.0
"""The `consoles` interface."""

import logging

from common.context import RequestContext
from common.errors import (
    ConsoleTokenNotFound,
    ConsoleTypeUnavailable,
    DomainNotFound,
    InstanceInvalidState,
    InstanceNotReady,
    NotSupported,
)
from common.ids import NewToken
from common.objects.console import Console, ConsoleType
from common.objects.instance import Instance
from common.rpc.conductor.consoles import Consoles
from common.states import CONSOLE_WORD, NO_CONSOLE_DURING
from services.conductor.computes import Computes
from services.conductor.db import console_tokens, instances
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)

_MOST_PURGED = 10_000


class ConsolesEndpoint(Consoles):
    """Makes tokens and looks them up; the host of the guest says where its consoles are."""

    def __init__(
        self,
        database: Database,
        computes: Computes,
        *,
        ttl_s: int,
        down_after_s: float,
        new_token: NewToken,
    ) -> None:
        self._database = database
        self._computes = computes
        self._ttl_s = ttl_s
        self._down_after_s = down_after_s
        self._new_token = new_token

    def create(self, ctx: RequestContext, instance: str, *, console_type: ConsoleType) -> str:
        """A new token of a console that is there."""
        with self._database.read() as conn:
            found = instances.get(
                conn,
                instance,
                down_after_s=self._down_after_s,
                # A caller without a project sees nothing, not everything.
                project_id=None if ctx.is_admin else ctx.project_id or "",
            )
            host = _host_for_console(found)
            compute = self._computes.on(conn, host)
        try:
            address = compute.console(ctx, host, found.uuid, kind=console_type.kind)
        except ConsoleTypeUnavailable as missing:  # in the words of who asked
            raise ConsoleTypeUnavailable(console_type=console_type) from missing
        token = self._new_token()
        with self._database.begin() as conn:
            console_tokens.add(
                conn,
                token,
                instance=found.uuid,
                instance_host=host,
                console_type=console_type,
                address=address,
                ttl_s=self._ttl_s,
            )
        return token

    def find(self, ctx: RequestContext, token: str) -> Console:
        """What a token opens.

        Between two starts of a guest its ports may become another guest's, so the host must still
        name the address that the token was made for.
        """
        with self._database.read() as conn:
            console, host = console_tokens.get(conn, token)
            compute = self._computes.on(conn, host)
        kind = console.console_type.kind
        try:
            if compute.console(ctx, host, console.instance_uuid, kind=kind) == console.address:
                return console
        except (DomainNotFound, InstanceNotReady, ConsoleTypeUnavailable, NotSupported) as gone:
            LOG.info("A token for a console of %s opens nothing: %s", console.instance_uuid, gone)
            raise ConsoleTokenNotFound from gone
        # Somebody else's by now, and not to become this guest's again by chance.
        with self._database.begin() as conn:
            console_tokens.forget(conn, token)
        raise ConsoleTokenNotFound

    def purge(self) -> None:
        """A chore: forget tokens that open nothing any more."""
        purged = _MOST_PURGED
        while purged == _MOST_PURGED:
            with self._database.begin() as conn:
                purged = console_tokens.purge(conn, most=_MOST_PURGED)


def _host_for_console(instance: Instance) -> str:
    if instance.task_state in NO_CONSOLE_DURING:
        raise InstanceInvalidState(
            operation=CONSOLE_WORD,
            instance=instance.uuid,
            attribute="task_state",
            state=instance.task_state,
        )
    if instance.host is None:
        raise InstanceNotReady(instance=instance.uuid)
    return instance.host

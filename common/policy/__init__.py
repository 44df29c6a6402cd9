# SPDX-License-Identifier: Apache-2.0
"""Policy: who may do what. Rule names and defaults are the Compute API's.

`Policy` decides; modules beside this one define the rules, a module a subject.
"""

import threading
from typing import Any

from oslo_config import cfg
from oslo_policy import opts, policy

from common.clock import Clock, SystemClock
from common.context import RequestContext
from common.errors import Forbidden
from common.policy import (
    base,
    flavors,
    hosts,
    kilonova,
    projects,
    proxies,
    server_actions,
    server_devices,
    servers,
)

_MODULES = (
    base, servers, server_actions, server_devices, flavors, projects, hosts, proxies, kilonova,
)  # fmt: skip
_MOST_KEPT = 4096
_KEPT_S = 10.0


def list_rules() -> list[Any]:
    """Every rule, for oslopolicy-sample-generator."""
    return [rule for module in _MODULES for rule in module.RULES]


class PolicyForbids(Forbidden):
    """The caller may not; text as clients know it."""

    message = "Policy doesn't allow {rule} to be performed."


class Policy:
    """Decides by rule, caller and target; verdicts are kept for a few seconds.

    An operator's change of the policy file therefore holds after at most `_KEPT_S`.
    """

    def __init__(self, conf: cfg.ConfigOpts, clock: Clock | None = None) -> None:
        opts.set_defaults(conf)
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.register_defaults(list_rules())
        self._enforcer.load_rules()
        self._clock = clock or SystemClock()
        self._verdicts: dict[tuple[Any, ...], bool] = {}
        self._forget_at = 0.0
        self._lock = threading.Lock()

    def allows(
        self,
        ctx: RequestContext,
        rule: str,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> bool:
        """Whether `ctx` may do what `rule` guards to something of `project_id` and `user_id`.

        Left out, they are the caller's own. A token without a project may do nothing.
        """
        if ctx.project_id is None:
            return False
        target_project = ctx.project_id if project_id is None else project_id
        target_user = ctx.user_id if user_id is None else user_id
        key = (
            rule, ctx.roles, ctx.is_admin, ctx.project_id, ctx.user_id, ctx.user_domain_id,
            ctx.project_domain_id, target_project, target_user,
        )  # fmt: skip
        verdict = self._kept(key)
        if verdict is None:
            verdict = self._ask(ctx, rule, target_project, target_user)
            self._verdicts[key] = verdict
        return verdict

    def check(
        self,
        ctx: RequestContext,
        rule: str,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """As `allows`. Raises: PolicyForbids."""
        if not self.allows(ctx, rule, project_id=project_id, user_id=user_id):
            raise PolicyForbids(rule=rule)

    def is_admin(self, roles: tuple[str, ...]) -> bool:
        """Whether these roles make an administrator (rule context_is_admin)."""
        key = ("context_is_admin", roles)
        verdict = self._kept(key)
        if verdict is None:
            credentials = {"roles": list(roles)}
            verdict = bool(self._enforcer.enforce("context_is_admin", {}, credentials))
            self._verdicts[key] = verdict
        return verdict

    def _kept(self, key: tuple[Any, ...]) -> bool | None:
        now = self._clock.monotonic()
        if now >= self._forget_at or len(self._verdicts) >= _MOST_KEPT:
            with self._lock:
                self._verdicts = {}
                self._forget_at = now + _KEPT_S
        return self._verdicts.get(key)

    def _ask(self, ctx: RequestContext, rule: str, project: str | None, user: str | None) -> bool:
        credentials = {
            "roles": list(ctx.roles),
            "project_id": ctx.project_id,
            "tenant": ctx.project_id,
            "user_id": ctx.user_id,
            "is_admin": ctx.is_admin,
            "user_domain_id": ctx.user_domain_id,
            "project_domain_id": ctx.project_domain_id,
        }
        target = {"project_id": project, "user_id": user}
        return bool(self._enforcer.enforce(rule, target, credentials))

# SPDX-License-Identifier: Apache-2.0
"""`/os-quota-sets` and `/limits`: what a project may have, and what it has."""

from dataclasses import dataclass
from typing import Any

from common.clients.identity import IdentityClient
from common.errors import Invalid
from common.objects.quota import QuotaSet
from common.policy import PolicyForbids
from common.rpc.conductor.quotas import Quotas
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, Body, Query
from services.api.declare.types import BOOLEAN, TEXT, Field, Plain, integer, is_true
from services.api.declare.version import Span
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:os-quota-sets:"
_LIMITS_RULE = "os_compute_api:limits"
_OBJECT = Raw(Plain({"type": "object"}))
_NO_LIMIT = -1


@dataclass(frozen=True)
class Resource:
    """A resource of quota sets, until when it is one, and its names among the limits.

    `fixed`: a quota of another service, once; answered with no limit and not enforced.
    """

    name: str
    until: str | None = None
    limit_name: str | None = None
    limit_until: str | None = None
    used_name: str | None = None
    fixed: bool = False


RESOURCES = (
    Resource("instances", None, "maxTotalInstances", None, "totalInstancesUsed"),
    Resource("cores", None, "maxTotalCores", None, "totalCoresUsed"),
    Resource("ram", None, "maxTotalRAMSize", None, "totalRAMUsed"),
    Resource("metadata_items", None, "maxServerMeta"),
    Resource("injected_files", "2.56", "maxPersonality", "2.56"),
    Resource("injected_file_content_bytes", "2.56", "maxPersonalitySize", "2.56"),
    Resource("injected_file_path_bytes", "2.56"),
    Resource("key_pairs", None, "maxTotalKeypairs"),
    Resource("server_groups", None, "maxServerGroups", None, "totalServerGroupsUsed"),
    Resource("server_group_members", None, "maxServerGroupMembers"),
    Resource("fixed_ips", "2.35", fixed=True),
    Resource("floating_ips", "2.35", "maxTotalFloatingIps", "2.35", "totalFloatingIpsUsed", True),
    Resource("security_groups", "2.35", "maxSecurityGroups", "2.35", "totalSecurityGroupsUsed",
             True),
    Resource("security_group_rules", "2.35", "maxSecurityGroupRules", "2.35", fixed=True),
)  # fmt: skip
_IMAGE_META_UNTIL = Span.between(None, "2.38")
_VALUE = integer(-1, 2147483647, texts=True, pattern="^-?[0-9]+$")
UPDATE = Body("quota-update", key="quota_set", fields=[
    *(Field(each.name, _VALUE, until=each.until, required=False) for each in RESOURCES),
    Field("force", BOOLEAN, required=False),
])  # fmt: skip
USER = Query("quota-user", [Field("user_id", TEXT)])
LIMITS = Query("limits", [Field("tenant_id", TEXT)])


def _present(version: int) -> list[Resource]:
    return [each for each in RESOURCES if version in Span.between(None, each.until)]


def _limit(quota: QuotaSet, resource: Resource) -> int:
    return _NO_LIMIT if resource.fixed else quota.limits[resource.name]


def _shown(quota: QuotaSet, call: ApiCall) -> dict[str, int]:
    return {each.name: _limit(quota, each) for each in _present(call.version)}


def _permit(call: ApiCall, rule: str, project: str) -> None:
    if not call.policy(call.caller, rule, project_id=project):
        raise PolicyForbids(rule=rule)


class QuotaSetOf:
    """`/os-quota-sets/{project_id}`."""

    def __init__(self, quotas: Quotas, identity: IdentityClient) -> None:
        self._quotas = quotas
        self._identity = identity

    @responder(query=USER, returns=_OBJECT)
    def on_get(self, call: ApiCall, project_id: str) -> dict[str, Any]:
        """Show a project's quota, or that of one user in it."""
        _permit(call, _RULE + "show", project_id)
        self._check_project(project_id)
        quota = self._quota(call, project_id, with_usage=False)
        return {"quota_set": {"id": project_id, **_shown(quota, call)}}

    @responder(query=USER, returns=_OBJECT)
    def on_get_detail(self, call: ApiCall, project_id: str) -> dict[str, Any]:
        """Show a project's quota with what is in use."""
        _permit(call, _RULE + "detail", project_id)
        self._check_project(project_id)
        quota = self._quota(call, project_id, with_usage=True)
        shown = {
            each.name: {
                "limit": _limit(quota, each),
                "in_use": quota.in_use.get(each.name, 0),
                "reserved": 0,
            }
            for each in _present(call.version)
        }
        return {"quota_set": {"id": project_id, **shown}}

    @responder(query=LENIENT_QUERY, returns=_OBJECT)
    def on_get_defaults(self, call: ApiCall, project_id: str) -> dict[str, Any]:
        """Show the quota of a project that has none of its own."""
        _permit(call, _RULE + "defaults", project_id)
        self._check_project(project_id)
        quota = self._quotas.defaults(call.caller)
        return {"quota_set": {"id": project_id, **_shown(quota, call)}}

    @responder(policy=_RULE + "update", query=USER, body=UPDATE, returns=_OBJECT)
    def on_put(self, call: ApiCall, project_id: str) -> dict[str, Any]:
        """Set a project's quota, or that of one user in it."""
        self._check_project(project_id)
        fixed = {each.name for each in RESOURCES if each.fixed}
        quota = self._quotas.update(
            call.caller,
            project_id=project_id,
            user_id=call.single("user_id"),
            limits={k: int(v) for k, v in call.body.items() if k != "force" and k not in fixed},
            force=is_true(call.body.get("force", False)),
        )
        return {"quota_set": _shown(quota, call)}

    @responder(policy=_RULE + "delete", query=USER, status=202)
    def on_delete(self, call: ApiCall, project_id: str) -> None:
        """Go back to the defaults."""
        self._check_project(project_id)
        self._quotas.delete(call.caller, project_id=project_id, user_id=call.single("user_id"))

    def _quota(self, call: ApiCall, project_id: str, *, with_usage: bool) -> QuotaSet:
        return self._quotas.quota_set(
            call.caller,
            project_id=project_id,
            user_id=call.single("user_id"),
            with_usage=with_usage,
        )

    def _check_project(self, project_id: str) -> None:
        if not self._identity.project_exists(project_id):
            raise Invalid(f"Project ID {project_id} is not a valid project.")


class Limits:
    """`/limits`."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    @responder(policy=_LIMITS_RULE, query=LIMITS, returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """Show what the project may have, and what it has."""
        other = call.single("tenant_id")
        project = call.caller.project_id or ""
        if other:
            _permit(call, f"{_LIMITS_RULE}:other_project", other)
            project = other
        quota = self._quotas.quota_set(call.caller, project_id=project, with_usage=True)
        absolute: dict[str, int] = {}
        for each in RESOURCES:
            if each.limit_name and call.version in Span.between(None, each.limit_until):
                absolute[each.limit_name] = _limit(quota, each)
                if each.used_name:
                    absolute[each.used_name] = quota.in_use.get(each.name, 0)
        if call.version in _IMAGE_META_UNTIL:
            absolute["maxImageMeta"] = absolute["maxServerMeta"]
        return {"limits": {"rate": [], "absolute": absolute}}

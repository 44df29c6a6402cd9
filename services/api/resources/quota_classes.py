# SPDX-License-Identifier: Apache-2.0
"""`/os-quota-class-sets`: limits by class; those of `default` hold where a project has none."""

from typing import Any

from common.objects.quota import QuotaSet
from common.rpc.conductor.quotas import Quotas
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, Body
from services.api.declare.types import Field, Plain, integer
from services.api.declare.version import Span
from services.api.declare.view import Raw
from services.api.resources.quota_sets import RESOURCES, Resource
from services.api.responder import responder

_RULE = "os_compute_api:os-quota-class-sets:"
_OBJECT = Raw(Plain({"type": "object"}))
_GROUPS = ("server_groups", "server_group_members")
_GROUPS_SINCE = "2.50"
_OLD_NETWORKS_UNTIL = "2.49"
_VALUE = integer(-1, 2147483647, texts=True, pattern="^-?[0-9]+$")


def _until(resource: Resource) -> str | None:
    """Classes kept the quotas of the old networks longer than projects did."""
    return _OLD_NETWORKS_UNTIL if resource.fixed else resource.until


def _shown_since(resource: Resource) -> str | None:
    return _GROUPS_SINCE if resource.name in _GROUPS else None


UPDATE = Body("quota-class-update", key="quota_class_set", fields=[
    Field(each.name, _VALUE, until=_until(each), required=False)
    for each in RESOURCES
])  # fmt: skip


class QuotaClassSet:
    """`/os-quota-class-sets/{class_name}`."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    @responder(policy=_RULE + "show", query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall, class_name: str) -> dict[str, Any]:
        """Show the limits of a quota class."""
        quota = self._quotas.class_set(call.caller, class_name)
        return {"quota_class_set": {"id": class_name, **_shown(quota, call)}}

    @responder(policy=_RULE + "update", body=UPDATE, returns=_OBJECT)
    def on_put(self, call: ApiCall, class_name: str) -> dict[str, Any]:
        """Set limits of a quota class."""
        # Those of the old networks too: they limit nothing, but clients read back what they wrote.
        limits = {name: int(limit) for name, limit in call.body.items()}
        quota = self._quotas.update_class(call.caller, class_name, limits)
        return {"quota_class_set": _shown(quota, call)}


def _shown(quota: QuotaSet, call: ApiCall) -> dict[str, int]:
    return {
        each.name: quota.limits[each.name]
        for each in RESOURCES
        if call.version in Span.between(_shown_since(each), _until(each))
    }

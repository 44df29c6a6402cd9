# SPDX-License-Identifier: Apache-2.0
"""Every operation of this release, at every microversion where it changes, as the contract says."""

import jsonschema
import pytest

from services.api.declare.formats import CHECKS
from services.api.declare.version import FIRST, LAST
from tests import factories
from tests.conformance import operations
from tests.unit.api.conftest import Ask

SERVER, IMAGE, HOST = factories.INSTANCE, factories.IMAGE, factories.HOST
FLAVOR = {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}
REQUEST_ID = "req-66666666-6666-4666-8666-666666666666"
PROJECT = factories.PROJECT
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2oUQ3Yg0zqKpj8mGQGkQ3yQ3bC6K0cJ0cS0m0mV0aB"


def server_body(version: int) -> dict:
    body = {"name": "s", "flavorRef": "1", "imageRef": IMAGE}
    return {"server": body | ({"networks": "none"} if version >= 37 else {})}


def service_body(version: int) -> dict:
    return {"status": "disabled"} if version >= 53 else {"host": "h", "binary": "nova-compute"}


def keypair_body(version: int) -> dict:
    return {"keypair": {"name": "k", "public_key": PUBLIC_KEY}}


# method, contract's path, action, the path asked for, the body (or a function of the version)
CASES = [
    ("GET", "/servers", None, "/servers", None),
    ("GET", "/servers/detail", None, "/servers/detail", None),
    ("POST", "/servers", None, "/servers", server_body),
    ("GET", "/servers/{id}", None, f"/servers/{SERVER}", None),
    ("PUT", "/servers/{id}", None, f"/servers/{SERVER}", {"server": {"name": "n"}}),
    ("DELETE", "/servers/{id}", None, f"/servers/{SERVER}", None),
    ("POST", "/servers/{id}/action", "os-start", f"/servers/{SERVER}/action", {"os-start": None}),
    ("POST", "/servers/{id}/action", "os-stop", f"/servers/{SERVER}/action", {"os-stop": None}),
    ("POST", "/servers/{id}/action", "reboot", f"/servers/{SERVER}/action",
     {"reboot": {"type": "SOFT"}}),
    ("POST", "/servers/{id}/action", "os-getConsoleOutput", f"/servers/{SERVER}/action",
     {"os-getConsoleOutput": {"length": 10}}),
    ("GET", "/servers/{server_id}/metadata", None, f"/servers/{SERVER}/metadata", None),
    ("POST", "/servers/{server_id}/metadata", None, f"/servers/{SERVER}/metadata",
     {"metadata": {"k": "v"}}),
    ("PUT", "/servers/{server_id}/metadata", None, f"/servers/{SERVER}/metadata",
     {"metadata": {"k": "v"}}),
    ("GET", "/servers/{server_id}/metadata/{id}", None, f"/servers/{SERVER}/metadata/a", None),
    ("PUT", "/servers/{server_id}/metadata/{id}", None, f"/servers/{SERVER}/metadata/a",
     {"meta": {"a": "v"}}),
    ("DELETE", "/servers/{server_id}/metadata/{id}", None, f"/servers/{SERVER}/metadata/a", None),
    ("GET", "/servers/{server_id}/tags", None, f"/servers/{SERVER}/tags", None),
    ("PUT", "/servers/{server_id}/tags", None, f"/servers/{SERVER}/tags", {"tags": ["x"]}),
    ("DELETE", "/servers/{server_id}/tags", None, f"/servers/{SERVER}/tags", None),
    ("GET", "/servers/{server_id}/tags/{id}", None, f"/servers/{SERVER}/tags/t", None),
    ("PUT", "/servers/{server_id}/tags/{id}", None, f"/servers/{SERVER}/tags/new", None),
    ("DELETE", "/servers/{server_id}/tags/{id}", None, f"/servers/{SERVER}/tags/t", None),
    ("GET", "/servers/{server_id}/ips", None, f"/servers/{SERVER}/ips", None),
    ("GET", "/servers/{server_id}/ips/{id}", None, f"/servers/{SERVER}/ips/private", None),
    ("GET", "/servers/{server_id}/os-instance-actions", None,
     f"/servers/{SERVER}/os-instance-actions", None),
    ("GET", "/servers/{server_id}/os-instance-actions/{id}", None,
     f"/servers/{SERVER}/os-instance-actions/{REQUEST_ID}", None),
    ("GET", "/flavors", None, "/flavors", None),
    ("GET", "/flavors/detail", None, "/flavors/detail", None),
    ("POST", "/flavors", None, "/flavors", FLAVOR),
    ("GET", "/flavors/{id}", None, "/flavors/1", None),
    ("PUT", "/flavors/{id}", None, "/flavors/1", {"flavor": {"description": "d"}}),
    ("DELETE", "/flavors/{id}", None, "/flavors/1", None),
    ("POST", "/flavors/{id}/action", "addTenantAccess", "/flavors/1/action",
     {"addTenantAccess": {"tenant": PROJECT}}),
    ("POST", "/flavors/{id}/action", "removeTenantAccess", "/flavors/1/action",
     {"removeTenantAccess": {"tenant": PROJECT}}),
    ("GET", "/flavors/{flavor_id}/os-extra_specs", None, "/flavors/1/os-extra_specs", None),
    ("POST", "/flavors/{flavor_id}/os-extra_specs", None, "/flavors/1/os-extra_specs",
     {"extra_specs": {"hw:numa_nodes": "1"}}),
    ("GET", "/flavors/{flavor_id}/os-extra_specs/{id}", None,
     "/flavors/1/os-extra_specs/hw:numa_nodes", None),
    ("PUT", "/flavors/{flavor_id}/os-extra_specs/{id}", None,
     "/flavors/1/os-extra_specs/hw:numa_nodes", {"hw:numa_nodes": "2"}),
    ("DELETE", "/flavors/{flavor_id}/os-extra_specs/{id}", None,
     "/flavors/1/os-extra_specs/hw:numa_nodes", None),
    ("GET", "/flavors/{flavor_id}/os-flavor-access", None, "/flavors/1/os-flavor-access", None),
    ("GET", "/os-keypairs", None, "/os-keypairs", None),
    ("POST", "/os-keypairs", None, "/os-keypairs", keypair_body),
    ("GET", "/os-keypairs/{id}", None, "/os-keypairs/mine", None),
    ("DELETE", "/os-keypairs/{id}", None, "/os-keypairs/mine", None),
    ("GET", "/os-services", None, "/os-services", None),
    ("PUT", "/os-services/{id}", None, lambda v: f"/os-services/{HOST if v >= 53 else 'disable'}",
     service_body),
    ("DELETE", "/os-services/{id}", None, lambda v: f"/os-services/{HOST if v >= 53 else 1}", None),
    ("GET", "/os-hypervisors", None, "/os-hypervisors", None),
    ("GET", "/os-hypervisors/detail", None, "/os-hypervisors/detail", None),
    ("GET", "/os-hypervisors/statistics", None, "/os-hypervisors/statistics", None),
    ("GET", "/os-hypervisors/{id}", None, lambda v: f"/os-hypervisors/{HOST if v >= 53 else 1}",
     None),
    ("GET", "/os-hypervisors/{id}/uptime", None,
     lambda v: f"/os-hypervisors/{HOST if v >= 53 else 1}/uptime", None),
    ("GET", "/os-hypervisors/{id}/search", None, "/os-hypervisors/host/search", None),
    ("GET", "/os-hypervisors/{id}/servers", None, "/os-hypervisors/host/servers", None),
    ("GET", "/os-availability-zone", None, "/os-availability-zone", None),
    ("GET", "/os-availability-zone/detail", None, "/os-availability-zone/detail", None),
    ("GET", "/limits", None, "/limits", None),
    ("GET", "/os-quota-sets/{id}", None, f"/os-quota-sets/{PROJECT}", None),
    ("GET", "/os-quota-sets/{id}/detail", None, f"/os-quota-sets/{PROJECT}/detail", None),
    ("GET", "/os-quota-sets/{id}/defaults", None, f"/os-quota-sets/{PROJECT}/defaults", None),
    ("PUT", "/os-quota-sets/{id}", None, f"/os-quota-sets/{PROJECT}",
     {"quota_set": {"instances": 11}}),
    ("DELETE", "/os-quota-sets/{id}", None, f"/os-quota-sets/{PROJECT}", None),
    ("GET", "/images", None, "/images", None),
    ("GET", "/images/detail", None, "/images/detail", None),
    ("GET", "/images/{id}", None, f"/images/{IMAGE}", None),
    ("DELETE", "/images/{id}", None, f"/images/{IMAGE}", None),
    ("GET", "/images/{image_id}/metadata", None, f"/images/{IMAGE}/metadata", None),
    ("POST", "/images/{image_id}/metadata", None, f"/images/{IMAGE}/metadata",
     {"metadata": {"k": "v"}}),
    ("GET", "/images/{image_id}/metadata/{id}", None, f"/images/{IMAGE}/metadata/hw_disk_bus",
     None),
    ("GET", "/extensions", None, "/extensions", None),
    ("GET", "/extensions/{id}", None, "/extensions/OS-DCF", None),
]  # fmt: skip

_FORMATS = jsonschema.FormatChecker(formats=())
for _name in ("uuid", "date-time", "ipv4", "ipv6"):
    _FORMATS.checks(_name)(
        lambda text, check=CHECKS[_name]: not isinstance(text, str) or check(text)
    )


def _id(case: tuple) -> str:
    return f"{case[0]} {case[1]} {case[2] or ''}".strip()


def _resolved(value: object, version: int) -> object:
    return value(version) if callable(value) else value


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_an_answer_is_as_the_contract_has_it_at_every_turning_point(ask: Ask, case):
    method, path, action, url, body = case
    contract = operations.operation(method, path, action)
    for version in operations.turning_points(contract):
        answer = ask(
            method, "/v2.1" + _resolved(url, version), _resolved(body, version), version=version
        )

        where = f"2.{version}: {answer.text[:300]}"
        assert answer.status_code == operations.success(contract, version), where
        assert answer.headers["openstack-api-version"] == f"compute 2.{version}"
        expected = operations.schema(contract, "response", version)
        if expected is None or expected.get("type") == "null":
            assert answer.text == "", where
            continue
        errors = [
            f"{list(error.path)}: {error.message[:300]}"
            for error in jsonschema.Draft202012Validator(
                expected, format_checker=_FORMATS
            ).iter_errors(answer.json)
        ]
        assert errors == [], where


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_outside_its_microversions_an_operation_is_not_found(ask: Ask, case):
    method, path, action, url, body = case
    points = operations.turning_points(operations.operation(method, path, action))
    outside = [v for v in (points[0] - 1, points[-1] + 1) if FIRST <= v <= LAST]
    for version in outside:
        answer = ask(
            method, "/v2.1" + _resolved(url, version), _resolved(body, version), version=version
        )

        assert answer.status_code == 404
        assert answer.json["itemNotFound"]["message"] == "The resource could not be found."


@pytest.mark.parametrize(("method", "path"), operations.removed())
def test_what_was_removed_is_gone_at_every_microversion(ask: Ask, method, path):
    for version in (FIRST, LAST):
        answer = ask(method, "/v2.1" + path.replace("{", "").replace("}", ""), version=version)

        assert answer.status_code == 410
        assert answer.json["computeFault"]["code"] == 410

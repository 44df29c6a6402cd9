# SPDX-License-Identifier: Apache-2.0
"""No value that a client can write, however strange, ends in a 500: real daemons and database."""

import pytest

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud, wait_for_status

HUGE = "9" * 40
TEXTS = ["\x00", "a\x00b", "'; DROP TABLE instances; --", "%", "\\", "\U0001f600", "\u202e", " ",
         HUGE, "-1", "²", "null", "[", "(" * 50, "a{1,99999}", "9" * 5000]  # fmt: skip
DISK_WORDS = (
    "source_type", "destination_type", "device_name", "guest_format", "disk_bus", "device_type",
    "boot_index", "volume_size", "tag", "volume_type", "no_device",
)  # fmt: skip
TIMES = [
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "0000-00-00",
    "2336-04-24T13:09:12.078409-18:57", "2026-W01-1", "20260101T000000Z",
]  # fmt: skip
FILTERS = [
    "name", "ip", "ip6", "host", "status", "flavor", "image", "uuid", "tags", "not-tags-any",
    "created_at", "power_state", "progress", "launch_index", "config_drive", "locked", "key_name",
    "all_tenants", "deleted", "project_id", "availability_zone", "marker", "limit", "sort_key",
    "sort_dir", "vm_state", "reservation_id", "launched_at", "auto_disk_config", "soft_deleted",
]  # fmt: skip


def _short(text: str) -> str:
    return ascii(text)[:30]


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return next(iter(cloud.connect("admin").image.images())).id


@pytest.fixture(scope="module")
def server(cloud: Cloud, call: Call, image: str) -> str:
    body = {"name": "s", "flavorRef": "1", "imageRef": image, "networks": "none"}
    found = call("POST", "/servers", json={"server": body}).json()["server"]["id"]
    wait_for_status(cloud.connect("admin"), found, "ACTIVE")
    return found


def assert_no_failure_of_ours(answer) -> None:
    where = f"{answer.request.method} {answer.request.url} {answer.request.body!r:.200}"
    assert answer.status_code < 500, f"{where}: {answer.status_code} {answer.text:.500}"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("text", TEXTS, ids=_short)
def test_in_paths(call: Call, server: str, text: str):
    for method, path in (
        ("GET", "/servers/{}"),
        ("DELETE", "/servers/{}"),
        ("GET", f"/servers/{server}/metadata/{{}}"),
        ("DELETE", f"/servers/{server}/metadata/{{}}"),
        ("PUT", f"/servers/{server}/tags/{{}}"),
        ("DELETE", f"/servers/{server}/tags/{{}}"),
        ("GET", f"/servers/{server}/ips/{{}}"),
        ("GET", f"/servers/{server}/os-instance-actions/{{}}"),
        ("GET", "/flavors/{}"),
        ("DELETE", "/flavors/{}"),
        ("GET", "/flavors/1/os-extra_specs/{}"),
        ("DELETE", "/flavors/1/os-extra_specs/{}"),
        ("GET", "/os-keypairs/{}"),
        ("DELETE", "/os-keypairs/{}"),
        ("DELETE", "/os-services/{}"),
        ("GET", "/os-hypervisors/{}"),
        ("GET", "/os-hypervisors/{}/uptime"),
        ("GET", "/os-hypervisors/{}/search"),
        ("GET", "/os-quota-sets/{}"),
        ("GET", "/images/{}"),
        ("GET", f"/servers/{server}/os-volume_attachments/{{}}"),
        ("DELETE", f"/servers/{server}/os-volume_attachments/{{}}"),
        ("GET", "/os-volumes/{}"),
        ("GET", "/os-snapshots/{}"),
        ("DELETE", "/os-assisted-volume-snapshots/{}"),
        ("GET", "/extensions/{}"),
        ("GET", "/kilonova/tasks/{}"),
        ("GET", "/{}"),
    ):
        quoted = path.format(_quoted(text))
        for version in ("2.1", "2.104"):
            assert_no_failure_of_ours(call(method, quoted, version=version))


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize("text", [*TEXTS, *TIMES], ids=_short)
def test_in_queries(call: Call, server: str, text: str):
    for path, keys in (
        ("/servers/detail", [*FILTERS, "changes-since", "changes-before"]),
        (f"/servers/{server}/os-instance-actions", ["changes-since", "changes-before"]),
        ("/os-migrations", ["changes-since", "changes-before"]),
        ("/os-simple-tenant-usage", ["start", "end"]),
        ("/flavors", ["minRam", "minDisk", "is_public", "marker", "limit", "name"]),
        ("/os-keypairs", ["user_id", "marker", "limit"]),
        ("/os-services", ["host", "binary"]),
        ("/os-hypervisors", ["hypervisor_hostname_pattern", "marker", "with_servers"]),
        ("/limits", ["tenant_id"]),
        ("/os-volumes", ["limit", "offset"]),
        ("/os-quota-sets/x", ["user_id"]),
        ("/kilonova/tasks", ["instance", "active", "limit"]),
    ):
        for key in keys:
            assert_no_failure_of_ours(call("GET", path, params={key: text}))
            assert_no_failure_of_ours(call("GET", path, params={key: text}, version="2.1"))


@pytest.mark.parametrize("text", TEXTS, ids=_short)
def test_in_bodies(call: Call, server: str, image: str, text: str):
    boot = {"name": "s", "flavorRef": "1", "imageRef": image, "networks": "none"}
    flavor = {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}
    root = {"source_type": "image", "uuid": image, "boot_index": 0}
    disk = {"source_type": "blank", "guest_format": "swap"}
    for method, path, body in (
        *(("POST", "/servers", {"server": boot | change}) for change in (
            {"name": text}, {"description": text}, {"metadata": {"k": text}},
            {"metadata": {text: "v"}}, {"tags": [text]}, {"flavorRef": text}, {"key_name": text},
            {"availability_zone": text}, {"user_data": text}, {"adminPass": text},
            {"security_groups": [{"name": text}]}, {"hostname": text}, {"host": text},
            {"trusted_image_certificates": [text]}, {"min_count": text},
            {"networks": [{"uuid": text}]}, {"networks": [{"port": text}]},
            {"block_device_mapping": [{"virtual_name": text}, {"device_name": text}]},
            *({"block_device_mapping_v2": [root, disk | {word: text}]}
              for word in (*DISK_WORDS, "uuid")),
        )),
        ("POST", "/servers", {"server": boot, "os:scheduler_hints": {"group": text, "x": text}}),
        ("PUT", f"/servers/{server}", {"server": {"name": text}}),
        ("PUT", f"/servers/{server}", {"server": {"description": text}}),
        ("POST", f"/servers/{server}/metadata", {"metadata": {"k": text}}),
        ("PUT", f"/servers/{server}/tags", {"tags": [text]}),
        ("POST", f"/servers/{server}/action", {"reboot": {"type": text}}),
        ("POST", f"/servers/{server}/action", {"os-getConsoleOutput": {"length": text}}),
        ("POST", f"/servers/{server}/action", {text: None}),
        ("POST", "/flavors", {"flavor": flavor | {"name": text}}),
        ("POST", "/flavors", {"flavor": flavor | {"id": text}}),
        ("POST", "/flavors", {"flavor": flavor | {"ram": text}}),
        ("POST", "/flavors", {"flavor": flavor | {"description": text}}),
        ("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"k": text}}),
        ("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": text}}),
        ("POST", "/os-keypairs", {"keypair": {"name": text, "public_key": "x"}}),
        ("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": text}}),
        ("POST", "/os-keypairs", {"keypair": {"name": "k", "type": "x509", "public_key": text}}),
        ("POST", f"/servers/{server}/os-volume_attachments",
         {"volumeAttachment": {"volumeId": text}}),
        ("PUT", "/os-quota-sets/x", {"quota_set": {"cores": text}}),
        ("PUT", f"/os-services/{server}", {"status": "disabled", "disabled_reason": text}),
    ):  # fmt: skip
        assert_no_failure_of_ours(call(method, path, json=body))


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**31, 2**63, 1e308, 1.5, True, None])
def test_numbers_in_bodies(call: Call, image: str, number):
    boot = {"name": "s", "flavorRef": "1", "imageRef": image, "networks": "none"}
    flavor = {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}
    for path, body in (
        ("/servers", {"server": boot | {"min_count": number}}),
        ("/servers", {"server": boot | {"flavorRef": number}}),
        ("/servers", {"server": boot | {"block_device_mapping_v2": [{"boot_index": number}]}}),
        ("/servers", {"server": boot | {"block_device_mapping_v2": [{"volume_size": number}]}}),
        ("/flavors", {"flavor": flavor | {"id": number}}),
        ("/flavors", {"flavor": flavor | {"ram": number}}),
        ("/flavors", {"flavor": flavor | {"rxtx_factor": number}}),
        ("/flavors/1/os-extra_specs", {"extra_specs": {"k": number}}),
    ):
        assert_no_failure_of_ours(call("POST", path, json=body))
        assert_no_failure_of_ours(call("POST", path, json=body, version="2.1"))


def test_a_request_for_very_many_servers_is_a_matter_of_quota(call: Call, image: str):
    body = {
        "name": "s",
        "flavorRef": "1",
        "imageRef": image,
        "networks": "none",
        "min_count": 10**9,
    }

    answer = call("POST", "/servers", json={"server": body})

    assert answer.status_code == 403
    assert "Quota exceeded" in answer.json()["forbidden"]["message"]

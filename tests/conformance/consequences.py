# SPDX-License-Identifier: Apache-2.0
"""Rules that no operation is refused for as a whole: what of a request or an answer they decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from tests.conformance.asked import ASKED
from tests.conformance.world import World

Answer = requests.Response
# From the owner's world to method, path and body, fresh where the request uses something up.
Request = tuple[str, str, Any]


@dataclass(frozen=True)
class Consequence:
    """What a rule decides. `shows`: whether an answer is that of somebody who may; a refusal is a
    403. `version`: the microversion, where it matters.
    """

    ask: Callable[[World], Request]
    shows: Callable[[World, Answer], bool]
    version: int = 104


def _accepted(w: World, answer: Answer) -> bool:
    assert answer.status_code < 300 or answer.status_code == 403, answer.text
    return answer.status_code < 300


def _refusing(ask: Callable[[World], Request], version: int = 104) -> Consequence:
    """A rule whose refusal is a 403."""
    return Consequence(ask, _accepted, version)


def _act(name: str, value: Callable[[World], Any], status: str = "ACTIVE") -> Consequence:
    return _refusing(lambda w: ("POST", f"/servers/{w.server(status)}/action", {name: value(w)}))


def _moved_to(name: str, **more: Any) -> Consequence:
    """A move to a host that is named: another one than the server's."""

    def ask(w: World) -> Request:
        server = w.server()
        here = w.must("GET", f"/servers/{server}")["server"]["OS-EXT-SRV-ATTR:host"]
        there = "fake1" if here != "fake1" else "fake2"
        return "POST", f"/servers/{server}/action", {name: {"host": there, **more}}

    return _refusing(ask)


def _shown(field: str, version: int = 104) -> Consequence:
    """A rule that decides whether a server's view has a field."""
    return Consequence(
        lambda w: ("GET", f"/servers/{w.kept}", None),
        lambda w, answer: field in answer.json()["server"],
        version,
    )


def _create(**fields: Any) -> Callable[[World], Request]:
    def ask(w: World) -> Request:
        given = {name: value(w) if callable(value) else value for name, value in fields.items()}
        body = {
            "name": w.name(), "flavorRef": "1", "imageRef": w.image, "networks": "none", **given
        }  # fmt: skip
        return "POST", "/servers", {"server": body}

    return ask


def _event(w: World) -> Request:
    return "GET", f"/servers/{w.kept}/os-instance-actions/{w.request_id}", None


def _first_event(answer: Answer) -> dict[str, Any]:
    return dict(answer.json()["instanceAction"]["events"][0])


def _locked_by_an_administrator(w: World) -> Request:
    server = w.server()
    elsewhere = World(w.cloud)  # an administrator of another project: the lock is no owner's
    elsewhere.must("POST", f"/servers/{server}/action", {"lock": None})
    return "POST", f"/servers/{server}/action", {"unlock": None}


def _other_projects(path: str) -> Callable[[World], Request]:
    return lambda w: ("GET", f"{path}{World(w.cloud).project_id}", None)


def _moved(w: World) -> Request:
    """A live migration of the project's is under way."""
    server, _ = w.migrating()
    return "GET", f"/servers/{server}/migrations", None


def _listed_move(w: World) -> Request:
    w.migrating()
    return "GET", "/os-migrations", None


def _attachment(version: int) -> Consequence:
    """A change of an attachment: of its volume up to 2.84, of what becomes of it from 2.85 on."""
    method, path = "PUT", "/servers/{server_id}/os-volume_attachments/{id}"
    return _refusing(lambda w: (method, *ASKED[method, path, None](w, version)), version)


def _backed_by_a_volume(w: World) -> str:
    disk = {
        "source_type": "image", "uuid": w.image, "destination_type": "volume", "boot_index": 0,
        "volume_size": 1, "delete_on_termination": True,
    }  # fmt: skip
    return w.boot(imageRef="", block_device_mapping_v2=[disk])


def _groups_of_others(w: World) -> Request:
    World(w.cloud).server_group()
    return "GET", "/os-server-groups?all_projects=1", None


_SERVERS = "os_compute_api:servers:"
_MIGRATE = "os_compute_api:os-migrate-server:"
CONSEQUENCES: dict[str, Consequence] = {
    "os_compute_api:os-extended-server-attributes": _shown("OS-EXT-SRV-ATTR:host"),
    _SERVERS + "show:host_status": _shown("host_status"),
    _SERVERS + "show:flavor-extra-specs": Consequence(
        lambda w: ("GET", f"/servers/{w.kept}", None),
        lambda w, answer: "extra_specs" in answer.json()["server"]["flavor"],
    ),
    "os_compute_api:os-instance-actions:events": Consequence(
        _event, lambda w, answer: "events" in answer.json()["instanceAction"], version=50
    ),
    "os_compute_api:os-instance-actions:events:details": Consequence(
        _event, lambda w, answer: "details" in _first_event(answer)
    ),
    "os_compute_api:limits:other_project": _refusing(_other_projects("/limits?tenant_id=")),
    "os_compute_api:os-lock-server:unlock:unlock_override": _refusing(
        _locked_by_an_administrator
    ),
    _MIGRATE + "migrate": _act("migrate", lambda w: None),
    _MIGRATE + "migrate:host": _moved_to("migrate"),
    _MIGRATE + "migrate_live": _act(
        "os-migrateLive", lambda w: {"host": None, "block_migration": "auto"}
    ),
    _MIGRATE + "migrate_live:host": _moved_to("os-migrateLive", block_migration="auto"),
    "os_compute_api:os-migrations:index:all_projects": _refusing(
        _other_projects("/os-migrations?project_id=")
    ),
    "os_compute_api:os-migrations:index:host": Consequence(
        _listed_move,
        lambda w, answer: answer.json()["migrations"][0]["source_compute"] is not None,
    ),
    _SERVERS + "migrations:index:host": Consequence(
        _moved, lambda w, answer: answer.json()["migrations"][0]["source_compute"] is not None
    ),
    "os_compute_api:os-server-groups:index:all_projects": Consequence(
        _groups_of_others,
        lambda w, answer: any(
            each["project_id"] != w.project_id for each in answer.json()["server_groups"]
        ),
    ),
    _SERVERS + "index:get_all_tenants": _refusing(
        lambda w: ("GET", "/servers?all_tenants=1", None)
    ),
    _SERVERS + "detail:get_all_tenants": _refusing(
        lambda w: ("GET", "/servers/detail?all_tenants=1", None)
    ),
    _SERVERS + "allow_all_filters": Consequence(
        # Who may filter by it finds nothing; from others the key is taken away.
        lambda w: ("GET", f"/servers?host=nowhere{'' if w.kept else ''}", None),
        lambda w, answer: answer.json()["servers"] == [],
    ),
    _SERVERS + "create:forced_host": _refusing(_create(availability_zone="nova:fake1")),
    "compute:servers:create:requested_destination": _refusing(_create(host="fake1")),
    _SERVERS + "create:attach_volume": _refusing(
        _create(block_device_mapping_v2=lambda w: [
            {"source_type": "image", "uuid": w.image, "destination_type": "local",
             "boot_index": 0, "delete_on_termination": True},
            {"source_type": "volume", "uuid": w.volume(), "destination_type": "volume",
             "boot_index": -1},
        ])
    ),
    _SERVERS + "create:attach_network": _refusing(
        _create(networks=lambda w: [{"uuid": w.network}])
    ),
    _SERVERS + "create:trusted_certs": _refusing(_create(trusted_image_certificates=["c"])),
    _SERVERS + "create:zero_disk_flavor": _refusing(_create(flavorRef=lambda w: w.diskless)),
    "network:attach_external_network": _refusing(
        _create(networks=lambda w: [{"uuid": w.external}])
    ),
    _SERVERS + "rebuild:trusted_certs": _act(
        "rebuild", lambda w: {"imageRef": w.image, "trusted_image_certificates": ["c"]}
    ),
    "os_compute_api:os-shelve:unshelve_to_host": _act(
        "unshelve", lambda w: {"host": "fake2"}, "SHELVED_OFFLOADED"
    ),
    "os_compute_api:os-volumes-attachments:update": _attachment(104),
    "os_compute_api:os-volumes-attachments:swap": _attachment(84),
    _SERVERS + "create_image:allow_volume_backed": _refusing(
        lambda w: (
            "POST", f"/servers/{_backed_by_a_volume(w)}/action",
            {"createImage": {"name": w.name()}},
        )
    ),
}  # fmt: skip

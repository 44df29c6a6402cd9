# SPDX-License-Identifier: Apache-2.0
"""A companion without a server: the application, called by falcon's test client."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import falcon.testing
import pytest

from services.companion.app import STORE, Companion, make_companion
from services.companion.identity.bootstrap import bootstrap
from services.companion.identity.passwords import Hasher
from services.companion.settings import Bootstrap, Passwords, Settings
from services.companion.store.engine import Store

CHEAP = 4
PASSWORDS = Passwords(admin="admin-pw", service="service-pw", demo="demo-pw")
ENDPOINTS = {
    "identity": "http://c.test/identity/v3",
    "image": "http://c.test/image",
    "network": "http://c.test/network",
    "volumev3": "http://c.test/volume/v3/$(project_id)s",
    "compute": "http://c.test:8774/v2.1",
}


class FakeClock:
    """A clock that goes on when told to."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        return self.time

    def monotonic(self):
        return self.time.timestamp()

    def advance(self, seconds):
        self.time += timedelta(seconds=seconds)


@dataclass
class Cloud:
    """A bootstrapped companion and tokens of its users."""

    settings: Settings
    clock: FakeClock
    companion: Companion
    tokens: dict = field(default_factory=dict)

    def __post_init__(self):
        self.client = falcon.testing.TestClient(self.companion.app)

    def request(self, method, path, *, user="admin", token=None, **options):
        headers = dict(options.pop("headers", {}))
        token = token or (self.token(user) if user else None)
        if token:
            headers["X-Auth-Token"] = token
        if "Content-Type" in headers and "json" in options:
            options["body"] = json.dumps(options.pop("json"))
        return self.client.simulate_request(method, path, headers=headers, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, json=body, **options)

    def put(self, path, body=None, **options):
        return self.request("PUT", path, json=body, **options)

    def patch(self, path, body, **options):
        return self.request("PATCH", path, json=body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def login(self, name, password, scope=None):
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope is not None:
            auth["scope"] = scope
        return self.post("/identity/v3/auth/tokens", {"auth": auth}, user=None)

    def token(self, user):
        if user not in self.tokens:
            password, project = {
                "admin": (PASSWORDS.admin, "admin"),
                "kilonova": (PASSWORDS.service, "service"),
                "demo": (PASSWORDS.demo, "demo"),
            }[user]
            made = self.login(user, password, project_scope(project))
            assert made.status_code == 201, made.text
            self.tokens[user] = made.headers["X-Subject-Token"]
        return self.tokens[user]

    def project_id(self, name):
        [found] = self.get(f"/identity/v3/projects?name={name}").json["projects"]
        return found["id"]

    def user_id(self, name):
        [found] = self.get(f"/identity/v3/users?name={name}").json["users"]
        return found["id"]

    def role_id(self, name):
        [found] = self.get(f"/identity/v3/roles?name={name}").json["roles"]
        return found["id"]

    def new_user(self, name, project=None, role="member", password="pw"):
        """A user with a role on a new project; its ids and a token."""
        made = self.post("/identity/v3/users", {"user": {"name": name, "password": password}})
        user_id = made.json["user"]["id"]
        project = project or self.post(
            "/identity/v3/projects", {"project": {"name": f"{name}-project"}}
        ).json["project"]["id"]  # fmt: skip
        role_id = self.role_id(role)
        self.put(f"/identity/v3/projects/{project}/users/{user_id}/roles/{role_id}")
        token = self.login(name, password, {"project": {"id": project}})
        self.tokens[name] = token.headers["X-Subject-Token"]
        return user_id, project

    def settle(self):
        """Wait until nothing goes on behind requests."""
        assert self.companion.jobs.is_idle(30)

    def restart(self, settings=None):
        """Stop, and start again on the same store, with other settings if given."""
        self.companion.stop()
        self.settings = settings or self.settings
        self.companion = make_companion(self.settings, self.clock)
        self.client = falcon.testing.TestClient(self.companion.app)


def project_scope(name):
    return {"project": {"name": name, "domain": {"id": "default"}}}


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory):
    """A store as `bootstrap` leaves it, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("companion") / STORE
    store = Store(path)
    bootstrap(store, Bootstrap(PASSWORDS, endpoints=ENDPOINTS), Hasher(CHEAP))
    store.close()
    return path


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path)


def settings_in(folder):
    return Settings(data_path=folder / "companion", public_url="http://c.test",
                    password_cost=CHEAP, max_image_bytes=1 << 20)  # fmt: skip


@pytest.fixture
def cloud(settings, bootstrapped):
    with running(settings, bootstrapped) as made:
        yield made


@pytest.fixture(scope="module")
def module_cloud(tmp_path_factory, bootstrapped):
    """A companion for all of a module's tests, which leave it as it is."""
    with running(settings_in(tmp_path_factory.mktemp("module")), bootstrapped) as made:
        yield made


@contextmanager
def running(settings, bootstrapped):
    """A companion on a copy of the store `bootstrapped`, stopped at the end."""
    settings.data_path.mkdir()
    shutil.copy(bootstrapped, settings.data_path)
    clock = FakeClock()
    made = Cloud(settings, clock, make_companion(settings, clock))
    try:
        yield made
    finally:
        made.companion.stop()

# SPDX-License-Identifier: Apache-2.0
"""Who asks too often is told when to come again."""

from types import SimpleNamespace

import falcon.testing
import pytest

from common import config
from common.errors import Invalid
from common.policy import Policy
from services.api.app import AppOptions, behind, make_app
from services.api.rate_limit import limits_of

_SOMEBODY = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_ROLES": "admin", "HTTP_X_USER_ID": "u"}


@pytest.fixture
def client(parts):
    """An API that may be asked as often as `per_project` and `per_address` say."""

    def make(per_project="", per_address="", *, trust_forwarded=False):
        options = SimpleNamespace(
            per_project=per_project, per_address=per_address, storage="memory://"
        )
        project, address = limits_of(options)
        made = AppOptions(
            project_limit=project, address_limit=address, trust_forwarded=trust_forwarded
        )
        app = make_app(parts, Policy(config.load("test", [], [])), made, dict)
        return falcon.testing.TestClient(behind(app, app, made))

    return make


def ask(client, project="p", path="/v2.1/flavors", **more):
    return client.simulate_get(path, extras=_SOMEBODY | {"HTTP_X_PROJECT_ID": project}, **more)


def test_a_project_is_refused_beyond_its_limit_and_others_are_not(client):
    api = client(per_project="2/hour")

    codes = [ask(api).status_code for _ in range(3)]
    refused = ask(api)

    assert codes == [200, 200, 429]
    wait_s = refused.headers["Retry-After"]
    assert 0 < int(wait_s) <= 3600
    assert refused.json == {
        "overLimit": {
            "code": 429, "message": "This request was rate-limited.", "retryAfter": wait_s,
        }
    }  # fmt: skip
    assert refused.headers["x-openstack-request-id"]
    assert ask(api, project="other").status_code == 200


def test_an_address_is_refused_whatever_its_project_and_token(client):
    api = client(per_address="2/hour")

    codes = [ask(api, project=f"p{number}").status_code for number in range(3)]
    other = ask(api, remote_addr="192.0.2.7")

    assert codes == [200, 200, 429]
    assert other.status_code == 200


@pytest.mark.parametrize(("trusted", "code"), [(True, 200), (False, 429)])
def test_what_a_proxy_says_of_the_address_counts_where_it_is_trusted(client, trusted, code):
    api = client(per_address="1/hour", trust_forwarded=trusted)
    ask(api, headers={"X-Forwarded-For": "192.0.2.1"})

    assert ask(api, headers={"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}).status_code == code


def test_documents_are_not_limited(client):
    api = client(per_project="1/hour", per_address="1/hour")

    assert [ask(api, path="/v2.1/").status_code for _ in range(3)] == [200, 200, 200]


def test_without_limits_nothing_is_counted():
    assert limits_of(SimpleNamespace(per_project="", per_address="", storage="x")) == (None, None)


@pytest.mark.parametrize(("option", "value"), [("per_project", "many"), ("storage", "nowhere://")])
def test_an_option_of_the_wrong_form_is_named(option, value):
    options = {"per_project": "1/hour", "per_address": "", "storage": "memory://", option: value}

    with pytest.raises(Invalid, match=option):
        limits_of(SimpleNamespace(**options))

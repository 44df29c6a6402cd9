# SPDX-License-Identifier: Apache-2.0
"""What a list of servers is filtered and sorted by, for whom and since when."""

import pytest

from common.objects.new_server import ServerFilters
from services.api.routes import Parts
from tests import factories
from tests.unit.api.conftest import Ask

MEMBER = "member,reader"


@pytest.fixture
def filters(ask: Ask, parts: Parts):
    """The filters that the conductor was asked by for a query; None when it was not asked."""

    def send(query: str, *, path: str = "/servers", **how) -> ServerFilters | None:
        parts.servers.asked.clear()
        answer = ask("GET", f"/v2.1{path}?{query}", **how)
        assert answer.status_code == 200, answer.text
        return parts.servers.asked[0][1][0] if parts.servers.asked else None

    return send


@pytest.fixture
def refusal(ask: Ask):
    def send(query: str, status: int, **how) -> str:
        answer = ask("GET", f"/v2.1/servers?{query}", **how)
        assert answer.status_code == status, answer.text
        return next(iter(answer.json.values()))["message"]

    return send


def test_a_list_is_of_the_callers_project_newest_first_without_deleted_servers(filters):
    asked = filters("")

    assert asked.project_id == factories.PROJECT
    assert asked.sort == (("created_at", "desc"),)
    assert asked.deleted is False
    assert asked.limit == 1000


@pytest.mark.parametrize(
    ("query", "since", "field"),
    [
        ("name=a", 1, "patterns"),
        ("ip=10", 1, "patterns"),
        ("ip6=fe", 5, "patterns"),
        ("tags=a,b", 26, "tags_all"),
        ("not-tags-any=a", 26, "not_tags_any"),
        ("changes-before=2026-01-01T00:00:00Z", 66, "changes_before"),
        ("locked=true", 73, "locked"),
        ("key_name=k", 83, "patterns"),
        ("hostname=h", 90, "patterns"),
    ],
)
def test_members_filter_by_more_as_versions_go_on(filters, query, since, field):
    untouched = getattr(filters("", roles=MEMBER), field)

    assert getattr(filters(query, roles=MEMBER, version=since), field) != untouched
    if since > 1:
        assert getattr(filters(query, roles=MEMBER, version=since - 1), field) == untouched


def test_what_a_member_may_not_filter_by_is_dropped(filters):
    query = "host=h&node=n&deleted=1&user_id=u&power_state=1"

    assert filters(query, roles=MEMBER) == filters("", roles=MEMBER)
    assert filters(query).columns == {"host": ["h"], "user_id": ["u"]}
    assert filters(query).deleted is True


def test_administrators_are_told_of_filters_that_make_no_sense(refusal, filters):
    assert refusal("metadata=x", 400) == "Invalid filter field: metadata."
    assert refusal("_secret=x", 400) == "Invalid filter field: _secret."
    assert filters("metadata=x&_secret=x", roles=MEMBER) is not None


def test_unknown_keys_are_dropped_until_2_74_and_refused_from_2_75(filters, refusal):
    assert filters("what=1", version=74) == filters("", version=74)
    assert refusal("what=1", 400, version=75) == "'what' does not match any of the regexes: '^_'"


def test_status_stands_for_states(filters, refusal, ask):
    assert filters("status=active").vm_states == ("active",)
    assert filters("status=reboot").task_states
    assert filters("status=nonsense", version=37) is None
    assert refusal("status=nonsense", 400, version=38) == "Invalid status value"


def test_deleted_servers_are_for_administrators_and_for_who_asks_for_changes(filters, refusal):
    assert filters("status=deleted").deleted is True
    assert refusal("status=deleted", 403, roles=MEMBER) == (
        "Only administrators may list deleted instances"
    )
    assert filters("changes-since=2026-01-01T00:00:00Z", roles=MEMBER).deleted is None


@pytest.mark.parametrize("word", ["1", "t", "true", "on", "yes", ""])
def test_all_tenants_is_for_administrators(filters, refusal, word):
    assert filters(f"all_tenants={word}").project_id is None
    text = refusal(f"all_tenants={word}", 403, roles=MEMBER)
    assert text == (
        "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed."
    )


def test_a_project_is_chosen_among_all_projects_only(filters):
    assert filters("project_id=p").project_id == factories.PROJECT
    assert "project_id" not in filters("project_id=p").columns
    assert filters("project_id=p&all_tenants=1").columns == {"project_id": ["p"]}
    assert filters("tenant_id=p&all_tenants=1").columns == {"project_id": ["p"]}
    assert filters("tenant_id=p").columns == {}


def test_the_detailed_list_has_a_rule_of_its_own(ask):
    answer = ask("GET", "/v2.1/servers/detail?all_tenants=1", roles=MEMBER)

    assert "servers:detail:get_all_tenants" in answer.json["forbidden"]["message"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("all_tenants=perhaps", "all_tenants"),
        ("locked=perhaps", "perhaps"),
        ("sort_dir=up&sort_key=uuid", "up"),
        ("sort_key=uuid&sort_dir=asc&sort_dir=asc", "Sort direction"),
        ("sort_key=nonsense", "is not one of"),
        ("changes-since=2026-01-02&changes-before=2026-01-01",
         "The value of changes-since must be less than or equal to changes-before."),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(refusal, query, text):
    assert text in refusal(query, 400, version=90)


def test_sorting_follows_keys_and_directions_in_their_order(filters, refusal):
    assert filters("sort_key=uuid&sort_key=vm_state&sort_dir=asc").sort == (
        ("uuid", "asc"), ("vm_state", "asc"),
    )  # fmt: skip
    assert filters("sort_key=uuid&sort_key=vm_state&sort_dir=asc&sort_dir=desc").sort == (
        ("uuid", "asc"), ("vm_state", "desc"),
    )  # fmt: skip
    assert filters("sort_key=vcpus", version=74).sort == (("created_at", "desc"),)
    assert "is not one of" in refusal("sort_key=vcpus", 400, version=75)
    assert refusal("sort_key=host", 403, roles=MEMBER) == (
        "Only administrators can sort servers by host"
    )


def test_a_full_page_links_to_the_next_one_with_every_parameter(ask):
    answer = ask("GET", f"/v2.1/{factories.PROJECT}/servers?name=a&limit=1", version=90)

    (link,) = answer.json["servers_links"]
    assert link["rel"] == "next"
    assert link["href"].endswith(
        f"/v2.1/{factories.PROJECT}/servers?limit=1&marker={factories.INSTANCE}&name=a"
    )
    assert "servers_links" not in ask("GET", "/v2.1/servers?limit=2").json


def test_a_page_is_never_longer_than_the_deployment_allows(filters):
    assert filters("limit=5000").limit == 1000
    assert filters("limit=7").limit == 7

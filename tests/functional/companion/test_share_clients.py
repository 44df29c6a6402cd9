# SPDX-License-Identifier: Apache-2.0
"""Stock clients, and kilonova's own, do with the companion's shares what they do with Manila's."""

from pathlib import Path

import openstack.exceptions
import pytest

from common.clients.share import ShareClient, UserShareClient
from common.errors import InvalidShare, ShareNotFound
from common.ids import new_uuid
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

HOST, OTHER = "10.0.0.1", "10.0.0.10"


@pytest.fixture
def demo(connect):
    return connect("demo", "demo")


@pytest.fixture
def share(demo):
    """A share of the user's, there; its id."""
    made = demo.shared_file_system.create_share(share_protocol="NFS", size=1, name="s")
    assert made.status == "creating"
    wait_until(lambda: _status(demo, made.id) == "available", "the share is there")
    return made.id


@pytest.fixture
def shares(session):
    # Longer than any machine needs.
    return ShareClient(session, access_timeout_s=60)


def _status(conn, share_id):
    return conn.shared_file_system.get_share(share_id).status


def _is_gone(conn, share_id):
    try:
        conn.shared_file_system.get_share(share_id)
    except openstack.exceptions.NotFoundException:
        return True
    return False


def test_the_sdk_makes_shares_and_lets_hosts_in(demo, share):
    proxy = demo.shared_file_system

    rule = proxy.create_access_rule(
        share, access_type="ip", access_to=HOST, access_level="ro", lock_deletion=True
    )
    wait_until(lambda: proxy.get_access_rule(rule.id).state == "active", "the rule holds")

    assert [s.id for s in proxy.shares(name="s")] == [share]
    assert proxy.find_share("s").id == share
    [location] = proxy.export_locations(share)
    assert location.is_preferred
    assert Path(location.path.partition(":")[2]).is_dir()
    assert proxy.get_export_location(location, share).path == location.path
    [default] = proxy.share_types()
    assert default.is_default
    assert [r.access_to for r in proxy.access_rules(proxy.get_share(share))] == [HOST]
    [lock] = proxy.resource_locks(resource_id=rule.id)
    assert (lock.lock_context, lock.resource_action) == ("user", "delete")
    with pytest.raises(openstack.exceptions.ForbiddenException):
        proxy.delete_access_rule(rule, share)
    proxy.delete_access_rule(rule, share, unrestrict=True)
    wait_until(lambda: not list(proxy.access_rules(proxy.get_share(share))), "the rule is gone")

    held = proxy.create_resource_lock(resource_id=share, resource_type="share", lock_reason="mine")
    with pytest.raises(openstack.exceptions.ConflictException):
        proxy.delete_share(share)
    proxy.update_resource_lock(held, lock_reason="still mine")
    assert proxy.get_resource_lock(held).lock_reason == "still mine"
    proxy.delete_resource_lock(held)
    proxy.update_share(share, display_name="t")
    assert proxy.get_share(share).name == "t"
    proxy.delete_share(share)
    wait_until(lambda: _is_gone(demo, share), "the share is gone")


def test_manilaclient_makes_shares_and_lets_hosts_in(demo):
    manila = pytest.importorskip("manilaclient.client")
    client = manila.Client("2.82", session=demo.session, region_name="RegionOne")

    share = client.shares.create("NFS", 1, name="m", share_type=client.share_types.list()[0].id)
    wait_until(lambda: client.shares.get(share).status == "available", "the share is there")
    rule = client.shares.allow(share, "ip", HOST, "rw", lock_visibility=True)
    wait_until(lambda: client.share_access_rules.get(rule["id"]).state == "active", "it holds")

    assert client.shares.find(name="m").id == share.id
    assert client.share_export_locations.list(share)[0].preferred
    assert len(client.resource_locks.list(search_opts={"resource_id": rule["id"]})) == 1
    client.shares.deny(share, rule["id"], unrestrict=True)
    client.shares.delete(share)
    wait_until(lambda: _is_gone(demo, share.id), "the share is gone")


def test_kilonova_lets_hosts_in_and_keeps_the_share(demo, share, shares):
    proxy = demo.shared_file_system
    rule = shares.allow(share, HOST)
    shares.allow(share, OTHER)

    assert shares.allow(share, HOST) == rule
    assert {r.access_to for r in proxy.access_rules(proxy.get_share(share))} == {"******"}
    shares.deny(share, HOST)
    with pytest.raises(openstack.exceptions.ConflictException):
        proxy.delete_share(share)
    # What goes just now is waited for, and made again.
    assert shares.allow(share, HOST) != rule
    for host in (HOST, HOST, OTHER):
        shares.deny(share, host)
    proxy.delete_share(share)
    wait_until(lambda: _is_gone(demo, share), "the share is gone")
    shares.deny(share, HOST)


def test_kilonova_knows_shares_as_users_see_them(demo, connect, session, share, shares):
    users, token = UserShareClient(session), demo.auth_token

    found = users.get(token, share)

    assert found == shares.get(share)
    assert (found.status, found.protocol, found.size_gib) == ("available", "NFS", 1)
    assert found.project_id == demo.current_project_id
    assert found.export_location.endswith(f"/shares/{share}")
    other = connect().shared_file_system.create_share(share_protocol="NFS", size=1)
    assert shares.get(other.id).id == other.id
    for missing in (other.id, new_uuid()):
        with pytest.raises(ShareNotFound):
            users.get(token, missing)


def test_what_the_service_refuses_has_its_reason(share, shares):
    with pytest.raises(InvalidShare, match=r"Invalid input for access_to"):
        shares.allow(share, "host.example")


def test_an_older_catalogue_gets_the_service_when_bootstrap_runs_again(connect, served):
    admin = connect()
    [service] = [s for s in admin.identity.services() if s.type == "shared-file-system"]
    admin.identity.delete_service(service)

    assert served.bootstrap().returncode == 0

    assert list(connect().shared_file_system.share_types())

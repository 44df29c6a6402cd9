# SPDX-License-Identifier: Apache-2.0
"""Networks, subnets, ports, security groups: what the Network API keeps."""

import pytest

V2 = "/network/v2.0"


def create(cloud, path, user="admin", **attributes):
    singular = path.rstrip("s").replace("-", "_")
    made = cloud.post(f"{V2}/{path}", {singular: attributes}, user=user)
    assert made.status_code == 201, made.text
    return made.json[singular]


def network(cloud, cidr="10.1.0.0/24", user="admin", **attributes):
    """A network with one subnet."""
    made = create(cloud, "networks", user, **{"name": "n", **attributes})
    subnet = create(cloud, "subnets", user, network_id=made["id"], cidr=cidr, ip_version=4)
    return made, subnet


def error(answer):
    return answer.status_code, answer.json["NeutronError"]["type"]


def test_a_network_shows_what_clients_read(cloud):
    net, subnet = network(cloud)

    shown = cloud.get(f"{V2}/networks/{net['id']}").json["network"]

    assert shown["subnets"] == [subnet["id"]]
    assert shown["status"] == "ACTIVE"
    assert shown["mtu"] == 1500
    assert shown["tenant_id"] == shown["project_id"] == cloud.project_id("admin")
    assert shown["router:external"] is False
    assert subnet["gateway_ip"] == "10.1.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]


def test_host_bits_of_a_cidr_are_cleared(cloud):
    net = create(cloud, "networks")

    subnet = create(cloud, "subnets", network_id=net["id"], cidr="10.5.0.77/24", ip_version=4)

    assert subnet["cidr"] == "10.5.0.0/24"


def test_no_two_subnets_of_a_network_overlap(cloud):
    net, _ = network(cloud, "10.1.0.0/16")
    body = {"subnet": {"network_id": net["id"], "cidr": "10.1.9.0/24", "ip_version": 4}}

    refused = cloud.post(f"{V2}/subnets", body)

    assert refused.status_code == 400
    assert "overlaps with another subnet" in refused.json["NeutronError"]["message"]


def test_networks_that_are_only_stored_may_have_the_same_addresses(cloud):
    (one, _), (other, _) = network(cloud, "10.1.0.0/24"), network(cloud, "10.1.0.0/24")

    ports = [create(cloud, "ports", network_id=net["id"]) for net in (one, other)]

    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 1


@pytest.mark.parametrize("cidr", [
    "0.0.0.0/0", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/8", "10.0.0.0/31", "10.0.0.0",
    "10.0.0.0/33", "fe80::/64", "::/8", 5, None, "10.0.0.0/24; drop table", "0.1.0.0/16",
])  # fmt: skip
def test_a_cidr_of_no_use_is_refused(cloud, cidr):
    net = create(cloud, "networks")
    body = {"subnet": {"network_id": net["id"], "cidr": cidr, "ip_version": 4}}

    assert cloud.post(f"{V2}/subnets", body).status_code == 400


@pytest.mark.parametrize("more", [
    {"gateway_ip": "10.9.0.1"}, {"gateway_ip": "10.1.0.0"}, {"dns_nameservers": ["::1"]},
    {"gateway_ip": "10.1.0.255"}, {"allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.3"}]},
    {"allocation_pools": [{"start": "10.1.0.2"}]}, {"host_routes": [{"destination": "0.0.0.0/0"}]},
    {"dns_nameservers": ["8.8.8.8\n--dhcp-script=x"]}, {"ip_version": 5}, {"ip_version": 6},
    {"allocation_pools": "all"}, {"unknown": 1}, {"enable_dhcp": "perhaps"},
])  # fmt: skip
def test_a_subnet_that_makes_no_sense_is_refused(cloud, more):
    net = create(cloud, "networks")
    body = {"network_id": net["id"], "cidr": "10.1.0.0/24", "ip_version": 4, **more}

    refused = cloud.post(f"{V2}/subnets", {"subnet": body})

    assert refused.status_code == 400
    assert refused.json["NeutronError"]["message"]


def test_a_port_gets_an_address_of_each_ip_version(cloud):
    net, _ = network(cloud)
    six = create(cloud, "subnets", network_id=net["id"], cidr="fd00::/64", ip_version=6)

    port = create(cloud, "ports", network_id=net["id"], fixed_ips=[{"subnet_id": six["id"]}])
    plain = create(cloud, "ports", network_id=net["id"])

    assert port["fixed_ips"] == [{"subnet_id": six["id"], "ip_address": "fd00::2"}]
    assert [ip["ip_address"] for ip in plain["fixed_ips"]] == ["10.1.0.2", "fd00::3"]


def test_where_guests_give_themselves_addresses_a_port_has_the_one_of_its_mac(cloud):
    net, _ = network(cloud)
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    create(cloud, "subnets", network_id=net["id"], cidr="fd00::/64", ip_version=6, **modes)

    port = create(cloud, "ports", network_id=net["id"], mac_address="fa:16:3e:00:00:01")

    addresses = [ip["ip_address"] for ip in port["fixed_ips"]]
    assert addresses == ["10.1.0.2", "fd00::f816:3eff:fe00:1"]


def test_a_ports_own_dhcp_options_are_added_replaced_and_taken_away(cloud):
    net, _ = network(cloud)
    first = {"opt_name": "bootfile-name", "opt_value": "a"}
    second = {"opt_name": "59", "opt_value": "b", "ip_version": 6}
    port = create(cloud, "ports", network_id=net["id"], extra_dhcp_opts=[first, second])

    changes = [{**first, "opt_value": "c"}, {**second, "opt_value": None}]
    body = {"port": {"extra_dhcp_opts": changes}}
    changed = cloud.put(f"{V2}/ports/{port['id']}", body).json["port"]

    assert port["extra_dhcp_opts"] == [{"ip_version": 4, **first}, second]
    assert changed["extra_dhcp_opts"] == [{"ip_version": 4, **first, "opt_value": "c"}]


@pytest.mark.parametrize(
    "option",
    [
        {"opt_name": "bootfile-name"},
        {"opt_name": "67\nuser=root", "opt_value": "x"},
        {"opt_name": "67", "opt_value": "x\nconf-script=/bin/sh"},
        {"opt_name": "67", "opt_value": "x", "ip_version": 5},
        {"opt_name": "67", "opt_value": "x", "more": "y"},
    ],
)
def test_a_dhcp_option_that_is_none_is_refused(cloud, option):
    net, _ = network(cloud)
    body = {"network_id": net["id"], "extra_dhcp_opts": [option]}

    assert cloud.post(f"{V2}/ports", {"port": body}).status_code == 400


def test_a_port_gets_an_address_a_mac_and_the_default_group(cloud):
    net, subnet = network(cloud)

    port = create(cloud, "ports", network_id=net["id"], name="p", device_id="vm")

    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.1.0.2"}]
    assert port["mac_address"].startswith("fa:16:3e:")
    [group] = cloud.get(f"{V2}/security-groups?name=default").json["security_groups"]
    assert port["security_groups"] == [group["id"]]
    assert (port["status"], port["binding:vif_type"]) == ("DOWN", "unbound")


def test_a_bound_port_says_how_to_plug_it(cloud):
    net, _ = network(cloud)
    port = create(cloud, "ports", network_id=net["id"])
    body = {"port": {"binding:host_id": "h1", "device_id": "vm", "device_owner": "compute:nova"}}

    bound = cloud.put(f"{V2}/ports/{port['id']}", body, user="kilonova").json["port"]
    free = cloud.put(f"{V2}/ports/{port['id']}", {"port": {"binding:host_id": ""}}).json["port"]

    assert (bound["status"], bound["binding:vif_type"]) == ("ACTIVE", "bridge")
    assert bound["binding:vif_details"]["bridge_name"] == f"br{net['id'][:11]}"
    assert bound["binding:vif_details"]["port_filter"] is True
    assert (free["status"], free["binding:vif_type"]) == ("DOWN", "unbound")


def test_where_a_port_is_ordinary_users_neither_see_nor_say(cloud):
    net, _ = network(cloud, user="demo")
    port = create(cloud, "ports", "demo", network_id=net["id"])

    refused = cloud.put(f"{V2}/ports/{port['id']}", {"port": {"binding:host_id": "h"}}, user="demo")

    assert "binding:host_id" not in port
    assert port["binding:vnic_type"] == "normal"
    assert refused.status_code == 403


def test_addresses_are_never_given_twice_and_a_freed_one_rests(cloud):
    net, _ = network(cloud)
    first = create(cloud, "ports", network_id=net["id"])
    cloud.delete(f"{V2}/ports/{first['id']}")

    ports = [create(cloud, "ports", network_id=net["id"]) for _ in range(3)]

    given = [port["fixed_ips"][0]["ip_address"] for port in ports]
    assert given == ["10.1.0.3", "10.1.0.4", "10.1.0.5"]


def test_a_full_subnet_says_so_and_gives_freed_addresses_again(cloud):
    net, _ = network(cloud, "10.1.0.0/29")
    ports = [create(cloud, "ports", network_id=net["id"]) for _ in range(5)]

    full = cloud.post(f"{V2}/ports", {"port": {"network_id": net["id"]}})
    cloud.delete(f"{V2}/ports/{ports[1]['id']}")
    again = create(cloud, "ports", network_id=net["id"])

    assert error(full) == (409, "IpAddressGenerationFailure")
    assert again["fixed_ips"] == ports[1]["fixed_ips"]


@pytest.mark.parametrize(("ip", "kind"), [
    ("10.1.0.1", "IpAddressAlreadyAllocated"), ("10.1.0.9", "IpAddressAlreadyAllocated"),
    ("10.7.0.9", "InvalidIpForNetwork"), ("10.1.0.0", "InvalidIpForSubnet"),
    ("10.1.0.255", "InvalidIpForSubnet"), ("not-an-ip", "HTTPBadRequest"),
])  # fmt: skip
def test_an_address_that_cannot_be_had_is_refused(cloud, ip, kind):
    net, _ = network(cloud)
    create(cloud, "ports", network_id=net["id"], fixed_ips=[{"ip_address": "10.1.0.9"}])
    body = {"port": {"network_id": net["id"], "fixed_ips": [{"ip_address": ip}]}}

    refused = cloud.post(f"{V2}/ports", body)

    assert error(refused)[1] == kind
    assert len(cloud.get(f"{V2}/ports").json["ports"]) == 1


def test_changing_the_addresses_of_a_port_keeps_those_it_names(cloud):
    net, subnet = network(cloud)
    port = create(cloud, "ports", network_id=net["id"])
    wanted = [*port["fixed_ips"], {"subnet_id": subnet["id"], "ip_address": "10.1.0.77"}]

    more = cloud.put(f"{V2}/ports/{port['id']}", {"port": {"fixed_ips": wanted}}).json["port"]
    none = cloud.put(f"{V2}/ports/{port['id']}", {"port": {"fixed_ips": []}}).json["port"]

    assert [ip["ip_address"] for ip in more["fixed_ips"]] == ["10.1.0.2", "10.1.0.77"]
    assert none["fixed_ips"] == []


def test_ports_are_found_by_what_daemons_and_clients_ask(cloud):
    net, subnet = network(cloud)
    port = create(cloud, "ports", network_id=net["id"], device_id="vm1", name="a")
    create(cloud, "ports", network_id=net["id"], device_id="vm2", name="b",
           **{"binding:host_id": "h1"})  # fmt: skip
    ip = port["fixed_ips"][0]["ip_address"]
    project = cloud.project_id("admin")

    for query, expected in (
        (f"fixed_ips=ip_address%3D{ip}", "a"), ("device_id=vm1", "a"), ("binding:host_id=h1", "b"),
        ("device_id=vm1&device_id=vm2", "ab"), (f"fixed_ips=subnet_id%3D{subnet['id']}", "ab"),
        (f"tenant_id={project}", "ab"), ("name=b&status=ACTIVE", "b"), ("status=DOWN", "a"),
        (f"mac_address={port['mac_address'].upper()}", "a"), ("fixed_ips=ip_address%3D1.2.3.4", ""),
        (f"id={port['id']}", "a"), ("tenant_id=nobody", ""), ("admin_state_up=True", "ab"),
    ):  # fmt: skip
        found = cloud.get(f"{V2}/ports?{query}", user="kilonova").json["ports"]
        assert "".join(sorted(p["name"] for p in found)) == expected, query
    [short] = cloud.get(f"{V2}/ports?device_id=vm1&fields=id&fields=name").json["ports"]
    assert short == {"id": port["id"], "name": "a"}


def test_pages_of_a_list_lead_to_the_next(cloud):
    for name in "abc":
        create(cloud, "networks", name=name)

    first = cloud.get(f"{V2}/networks?limit=2&sort_key=name&sort_dir=asc").json

    assert [n["name"] for n in first["networks"]] == ["a", "b"]
    assert first["networks_links"][0]["rel"] == "next"
    marker = first["networks"][-1]["id"]
    rest = cloud.get(f"{V2}/networks?limit=2&sort_key=name&sort_dir=asc&marker={marker}").json
    assert [n["name"] for n in rest["networks"]] == ["c"]
    assert "networks_links" not in rest


def test_networks_are_seen_by_their_project_and_shared_ones_by_all(cloud):
    cloud.new_user("eve")
    private, _ = network(cloud, user="demo")
    shared, _ = network(cloud, "10.2.0.0/24", shared=True, name="shared")

    seen = cloud.get(f"{V2}/networks", user="eve").json["networks"]

    assert [n["id"] for n in seen] == [shared["id"]]
    assert cloud.get(f"{V2}/networks/{private['id']}", user="eve").status_code == 404
    body = {"port": {"network_id": private["id"]}}
    assert error(cloud.post(f"{V2}/ports", body, user="eve")) == (404, "NetworkNotFound")
    assert create(cloud, "ports", "eve", network_id=shared["id"])["fixed_ips"]
    delete = cloud.delete(f"{V2}/networks/{shared['id']}", user="eve")
    assert delete.status_code == 403


@pytest.mark.parametrize("attribute", [
    {"shared": True}, {"router:external": True}, {"provider:network_type": "local"},
])  # fmt: skip
def test_what_concerns_others_is_the_administrators_to_set(cloud, attribute):
    refused = cloud.post(f"{V2}/networks", {"network": attribute}, user="demo")

    assert refused.status_code == 403


def test_an_administrator_acts_for_other_projects_and_nobody_else_does(cloud):
    project = cloud.project_id("demo")

    net = create(cloud, "networks", tenant_id=project)
    body = {"network": {"project_id": cloud.project_id("admin")}}

    assert net["project_id"] == project
    assert cloud.get(f"{V2}/networks/{net['id']}", user="demo").status_code == 200
    assert cloud.post(f"{V2}/networks", body, user="demo").status_code == 400


def test_what_is_in_use_stays(cloud):
    net, subnet = network(cloud)
    group = create(cloud, "security-groups", name="g")
    port = create(cloud, "ports", network_id=net["id"], security_groups=[group["id"]])

    assert error(cloud.delete(f"{V2}/networks/{net['id']}")) == (409, "NetworkInUse")
    assert error(cloud.delete(f"{V2}/subnets/{subnet['id']}")) == (409, "SubnetInUse")
    assert error(cloud.delete(f"{V2}/security-groups/{group['id']}")) == (409, "SecurityGroupInUse")
    for path in (f"ports/{port['id']}", f"security-groups/{group['id']}", f"networks/{net['id']}"):
        assert cloud.delete(f"{V2}/{path}").status_code == 204
    assert cloud.get(f"{V2}/subnets/{subnet['id']}").status_code == 404


def test_every_project_finds_one_default_group_with_neutrons_rules(cloud):
    for _ in range(2):
        [group] = cloud.get(f"{V2}/security-groups", user="demo").json["security_groups"]

    rules = group["security_group_rules"]
    assert group["name"] == "default"
    found = {(r["direction"], r["ethertype"], r["remote_group_id"]) for r in rules}
    assert found == {
        ("egress", "IPv4", None), ("egress", "IPv6", None),
        ("ingress", "IPv4", group["id"]), ("ingress", "IPv6", group["id"]),
    }  # fmt: skip
    assert error(cloud.delete(f"{V2}/security-groups/{group['id']}", user="demo"))[0] == 409


def test_a_new_group_lets_everything_out_and_nothing_in(cloud):
    group = create(cloud, "security-groups", "demo", name="web")

    assert {rule["direction"] for rule in group["security_group_rules"]} == {"egress"}


def test_the_same_rule_twice_is_refused(cloud):
    group = create(cloud, "security-groups", name="web")
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
            "port_range_min": 80, "port_range_max": 80,
            "remote_ip_prefix": "0.0.0.0/0"}  # fmt: skip

    first = cloud.post(f"{V2}/security-group-rules", {"security_group_rule": rule})
    second = cloud.post(f"{V2}/security-group-rules", {"security_group_rule": rule})

    assert first.status_code == 201
    assert error(second) == (409, "SecurityGroupRuleExists")


def test_a_rules_network_comes_back_as_it_was_given(cloud):
    group = create(cloud, "security-groups", name="web")
    rule = {"security_group_id": group["id"], "direction": "ingress",
            "remote_ip_prefix": "10.2.3.124/24"}  # fmt: skip

    made = cloud.post(f"{V2}/security-group-rules", {"security_group_rule": rule})

    assert made.json["security_group_rule"]["remote_ip_prefix"] == "10.2.3.124/24"


@pytest.mark.parametrize("rule", [
    {"direction": "sideways"}, {"protocol": "carrier-pigeon"}, {"protocol": 256},
    {"protocol": "tcp", "port_range_min": 9, "port_range_max": 5}, {"port_range_min": 80},
    {"protocol": "tcp", "port_range_min": 70000, "port_range_max": 70000},
    {"protocol": "icmp", "port_range_min": 300}, {"ethertype": "IPX"},
    {"remote_ip_prefix": "fd00::/8"}, {"remote_ip_prefix": "10.0.0.0/8; accept"},
    {"protocol": "tcp", "port_range_min": 80}, {"protocol": ["tcp"]}, {"protocol": {"a": 1}},
])  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(cloud, rule):
    group = create(cloud, "security-groups", name="web")
    body = {"security_group_id": group["id"], "direction": "ingress", **rule}

    refused = cloud.post(f"{V2}/security-group-rules", {"security_group_rule": body})

    assert refused.status_code == 400


def test_groups_of_others_are_out_of_reach(cloud):
    cloud.new_user("eve")
    group = create(cloud, "security-groups", "demo", name="web")
    rule = {"security_group_id": group["id"], "direction": "ingress"}

    for answer in (
        cloud.get(f"{V2}/security-groups/{group['id']}", user="eve"),
        cloud.delete(f"{V2}/security-groups/{group['id']}", user="eve"),
        cloud.post(f"{V2}/security-group-rules", {"security_group_rule": rule}, user="eve"),
    ):
        assert error(answer)[0] == 404


def test_a_live_migration_binds_the_port_twice_and_moves_it(cloud):
    net, _ = network(cloud)
    port = create(cloud, "ports", network_id=net["id"], **{"binding:host_id": "h1"})
    path = f"{V2}/ports/{port['id']}/bindings"

    made = cloud.post(path, {"binding": {"host": "h2"}}, user="kilonova")
    again = cloud.post(path, {"binding": {"host": "h2"}})
    active = cloud.put(f"{path}/h2/activate")
    twice = cloud.put(f"{path}/h2/activate")
    gone = cloud.delete(f"{path}/h1")

    assert (made.status_code, made.json["binding"]["status"]) == (201, "INACTIVE")
    assert error(again) == (409, "PortBindingAlreadyExists")
    assert active.json["binding"]["status"] == "ACTIVE"
    assert error(twice) == (409, "PortBindingAlreadyActive")
    assert gone.status_code == 204
    shown = cloud.get(f"{V2}/ports/{port['id']}").json["port"]
    assert shown["binding:host_id"] == "h2"
    assert cloud.get(f"{path}/h1").status_code == 404
    assert cloud.get(path, user="demo").status_code == 403


def test_quotas_are_unlimited_until_set_and_then_hold(cloud):
    project = cloud.project_id("demo")
    path = f"{V2}/quotas/{project}"
    before = cloud.get(path, user="demo").json["quota"]["network"]

    cloud.put(path, {"quota": {"network": 1}})
    create(cloud, "networks", "demo")

    assert before == -1
    refused = cloud.post(f"{V2}/networks", {"network": {}}, user="demo")
    assert error(refused) == (409, "OverQuota")
    details = cloud.get(f"{path}/details.json", user="demo").json["quota"]["network"]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    assert cloud.get(f"{path}/default").json["quota"]["network"] == -1
    assert cloud.put(path, {"quota": {"network": 5}}, user="demo").status_code == 403
    assert cloud.delete(path).status_code == 204


def test_several_are_created_at_once_or_none(cloud):
    net, _ = network(cloud)
    good = {"network_id": net["id"]}

    both = cloud.post(f"{V2}/ports", {"ports": [good, good]})
    none = cloud.post(f"{V2}/ports", {"ports": [good, {"network_id": "0" * 32}]})

    assert len(both.json["ports"]) == 2
    assert none.status_code == 404
    assert len(cloud.get(f"{V2}/ports").json["ports"]) == 2


def test_clients_learn_which_extensions_are_there(cloud):
    aliases = {e["alias"] for e in cloud.get(f"{V2}/extensions").json["extensions"]}

    assert {
        "security-group",
        "binding-extended",
        "port-security",
        "quotas",
        "project-id",
    } <= aliases
    assert cloud.get(f"{V2}/extensions/binding").json["extension"]["alias"] == "binding"
    missing = cloud.get(f"{V2}/extensions/Availability%20Zone")
    assert error(missing) == (404, "ExtensionNotFound")


def test_a_name_instead_of_an_id_is_not_found(cloud):
    for path in ("networks", "subnets", "ports", "security-groups"):
        assert cloud.get(f"{V2}/{path}/my-thing").status_code == 404


def test_a_restart_keeps_ports(cloud):
    net, _ = network(cloud)
    port = create(cloud, "ports", network_id=net["id"])

    cloud.restart()

    assert cloud.get(f"{V2}/ports/{port['id']}").json["port"]["fixed_ips"] == port["fixed_ips"]


def test_a_page_of_ports_costs_the_same_for_one_or_a_hundred(cloud):
    from sqlalchemy import event

    net, _ = network(cloud)
    statements = []
    event.listen(cloud.companion.store._engine, "before_cursor_execute",
                 lambda conn, cursor, statement, *_: statements.append(statement))  # fmt: skip
    counts = []
    for number in (1, 99):
        body = {"ports": [{"network_id": net["id"]}] * number}
        cloud.post(f"{V2}/ports", body)
        statements.clear()
        cloud.get(f"{V2}/ports")
        counts.append(len(statements))

    assert counts[0] == counts[1]

# SPDX-License-Identifier: Apache-2.0
"""Quota classes through real HTTP."""


def test_the_default_class_sets_the_limits_of_projects_without_own_ones(cloud, call):
    project = cloud.connect("admin").current_project_id
    was = call("GET", "/os-quota-class-sets/default").json()["quota_class_set"]
    raised = {"quota_class_set": {"cores": was["cores"] + 1}}
    try:
        answer = call("PUT", "/os-quota-class-sets/default", json=raised)
        defaults = call("GET", f"/os-quota-sets/{project}/defaults").json()["quota_set"]
    finally:
        call("PUT", "/os-quota-class-sets/default", json={
            "quota_class_set": {"cores": was["cores"]},
        })  # fmt: skip

    assert answer.json()["quota_class_set"]["cores"] == was["cores"] + 1
    assert defaults["cores"] == was["cores"] + 1
    assert call("GET", "/os-quota-class-sets/other").json()["quota_class_set"]["id"] == "other"


def test_classes_have_the_resources_of_the_microversion(call):
    old = call("GET", "/os-quota-class-sets/default", version="2.49").json()["quota_class_set"]
    new = call("GET", "/os-quota-class-sets/default").json()["quota_class_set"]

    assert {"floating_ips", "injected_files"} <= old.keys()
    assert "server_groups" not in old
    assert "server_groups" in new
    assert not {"floating_ips", "injected_files"} & new.keys()


def test_limits_of_the_old_networks_are_kept_and_hold_for_nobody(cloud, call):
    project = cloud.connect("admin").current_project_id
    wanted = {"fixed_ips": 7, "security_groups": 0}
    path = "/os-quota-class-sets/default"
    try:
        answer = call("PUT", path, json={"quota_class_set": wanted}, version="2.49")
        shown = call("GET", path, version="2.49").json()["quota_class_set"]
        of_project = call("GET", f"/os-quota-sets/{project}", version="2.35").json()["quota_set"]
    finally:
        unlimited = dict.fromkeys(wanted, -1)
        call("PUT", path, json={"quota_class_set": unlimited}, version="2.49")

    assert wanted.items() <= answer.json()["quota_class_set"].items()
    assert wanted.items() <= shown.items()
    assert of_project["fixed_ips"] == -1

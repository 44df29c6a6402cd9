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

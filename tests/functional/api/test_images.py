# SPDX-License-Identifier: Apache-2.0
"""Images as the Compute API showed them until 2.35: real calls to the image service."""

import pytest
import requests

from tests.functional.cloud import Cloud


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [("DELETE", "", None), ("POST", "/metadata", {"metadata": {"a": "b"}})],
)
def test_an_image_of_somebody_else_is_not_changed_and_the_answer_says_so(
    cloud: Cloud, method, below, body
):
    demo = cloud.connect()
    image = demo.image.find_image("guest", ignore_missing=False)

    refused = requests.request(
        method, f"{cloud.compute_url}/v2.1/images/{image.id}{below}", json=body, timeout=30,
        headers={"X-Auth-Token": demo.auth_token},
    )  # fmt: skip

    assert refused.status_code == 403
    assert refused.json()["forbidden"]["message"] == f"Not authorized for image {image.id}."
    assert demo.image.get_image(image.id).status == "active"

# SPDX-License-Identifier: Apache-2.0
"""GET /openapi.json is a valid document at every microversion at which something changes."""

import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conformance import operations
from tests.functional.cloud import Cloud


def test_the_document_is_valid_at_every_turning_point(cloud: Cloud):
    points = sorted({p for each in operations.present() for p in operations.turning_points(each)})
    seen: dict[str, list[object]] = {}
    validated = 0
    for version in points:
        url = f"{cloud.compute_url}/openapi.json?microversion=2.{version}"
        document = requests.get(url, timeout=30).json()
        assert document["info"]["version"] == f"2.{version}"
        # A path stands for itself: what it was at an earlier version is valid already.
        new = {p: item for p, item in document["paths"].items() if item not in seen.get(p, [])}
        for path, item in new.items():
            seen.setdefault(path, []).append(item)
        if new:
            part = {**document, "paths": new}
            assert list(OpenAPIV31SpecValidator(part).iter_errors()) == [], version
            validated += 1

    assert validated > 20
    assert "$ref" not in requests.get(f"{cloud.compute_url}/openapi.json", timeout=30).text

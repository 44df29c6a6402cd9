# SPDX-License-Identifier: Apache-2.0
"""GET /openapi.json is a valid document at every microversion at which something changes."""

import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conformance import operations
from tests.functional.cloud import Cloud


def test_the_document_is_valid_at_every_turning_point(cloud: Cloud):
    points = sorted({p for each in operations.present() for p in operations.turning_points(each)})
    seen: list[object] = []
    for version in points:
        url = f"{cloud.compute_url}/openapi.json?microversion=2.{version}"
        document = requests.get(url, timeout=30).json()
        assert document["info"]["version"] == f"2.{version}"
        if document["paths"] in seen:
            continue
        seen.append(document["paths"])
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == [], version

    assert len(seen) > 20

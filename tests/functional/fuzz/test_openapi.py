# SPDX-License-Identifier: Apache-2.0
"""What schemathesis makes up from our own OpenAPI document ends in no 5xx."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from tests.functional.fuzz.aim import Aim

_MOST_S = 30


@pytest.mark.parametrize("version", [1, 37, 66, 104])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_no_request_ends_in_a_failure_of_ours(aim: Aim, budget: int, version, mode):
    url = f"{aim.world.cloud.compute_url}/openapi.json?microversion=2.{version}"
    document = requests.get(url, timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    found = [each.ok() for each in schema.get_all_operations()]
    each = max(1, budget // 4 // 8 // len(found))
    for operation in found:
        _shoot(aim, operation, version, mode, each)


def _shoot(aim: Aim, operation: Any, version: int, mode: GenerationMode, count: int) -> None:
    @seed(1)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def shoot(case: Any) -> None:
        if "server_id" in (case.path_parameters or {}):
            case.path_parameters["server_id"] = aim.server()
        headers = {
            "X-Auth-Token": aim.world.token,
            "OpenStack-API-Version": f"compute 2.{version}",
        }
        aim.hit(case.call(base_url=aim.world.cloud.compute_url, headers=headers, timeout=_MOST_S))

    shoot()

# SPDX-License-Identifier: Apache-2.0
"""Extra specs that make no sense are refused from 2.86 on, as the contract lists them."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from common.errors import Invalid
from services.api.extra_specs import rules
from tests.conformance import contract

_CONTRACT = json.loads((Path(contract.__path__[0]) / "extra_specs.json").read_text())
_TRAITS = _CONTRACT["trait_specs"]
_BOOLEANS = {"t", "true", "on", "y", "yes", "1", "f", "false", "off", "n", "no", "0"}
_GOOD_PARAMETERS = {
    "group": "1", "num": "0", "key": "some:key", "filter": ":a:b", "resource": "X_1",
    "trait": "GOOD",
}  # fmt: skip
_VALUES = (
    "1", "0", "-1", "16", "yes", "NO", "2", "text", "", "none", "0-3,^2", "^1", "3-", "large",
    "2MB", "a,b_c,", ",a", "gpu:1 , nic:2", "gpu:", "isolate", "1.2", "required", "forbidden",
)  # fmt: skip


def _verdict(key: str, value: str) -> bool:
    try:
        rules.check({key: value})
    except Invalid:
        return False
    return True


def _contracts_verdict(spec: dict[str, Any], value: str) -> bool:
    if spec["type"] == "int":
        return bool(re.fullmatch("-?[0-9]+", value)) and (
            spec.get("min", -99) <= int(value) <= spec.get("max", 99)
        )
    if spec["type"] == "bool":
        return value.lower() in _BOOLEANS
    if "enum" in spec:
        return value in spec["enum"]
    return bool(re.fullmatch(spec.get("pattern", ".*"), value))


@pytest.mark.parametrize("spec", _CONTRACT["extra_specs"], ids=lambda spec: spec["key"])
def test_a_known_key_takes_the_values_that_the_contract_gives_it(spec):
    key = spec["key"].format(**_GOOD_PARAMETERS)

    for value in _VALUES:
        assert _verdict(key, value) == _contracts_verdict(spec, value), value


def test_every_trait_may_be_required_or_forbidden_and_nothing_else():
    for trait in (*_TRAITS["traits"], "CUSTOM_MINE"):
        key = f"trait1:{trait}".format(**_GOOD_PARAMETERS)

        assert [_verdict(key, value) for value in ("required", "forbidden", "liked", "")] == [
            True, True, False, False,
        ]  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        "hw:numa_nodez", "hw:numa_cpus.x", "trait:NO_SUCH_TRAIT", "resources:vcpu", "os:",
        "capabilities:nonsense", "aggregate_instance_extra_specs:", "hw_rng:hw_rng:allowed",
    ],
)  # fmt: skip
def test_a_key_that_a_known_namespace_does_not_have_is_refused(key):
    assert not _verdict(key, "1")


@pytest.mark.parametrize("key", ["mine", "mine:key", "hw", "HW:numa_nodes", "xhw:a", "traits.x:A"])
def test_what_is_in_no_known_namespace_is_the_operators_own(key):
    assert _verdict(key, "anything")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hw:pmem", "a" * 254 + "!"),
        ("hw:cpu_realtime_mask", "1" + ",1-1" * 63 + "x"),
        ("pci_passthrough:alias", "a:1" + "  ,  b:1" * 31 + "x"),
        ("aggregate_instance_extra_specs:" + "a:" * 110, "x" * 255),
        ("capabilities:stats" + ":a" * 110 + ":", "x"),
        ("trait" + "a" * 200 + ":A", "required"),
    ],
)
def test_hostile_specs_are_judged_at_once(key, value):
    rules.check({})
    began = time.monotonic()

    _verdict(key, value)

    assert time.monotonic() - began < 1


@pytest.mark.parametrize(("version", "status"), [(85, 200), (86, 400), (104, 400)])
def test_the_api_checks_from_2_86_on(ask, version, status):
    specs, path = {"hw:cpu_policy": "dedicated", "hw:cpu_cores": "none"}, "/v2.1/flavors/1"

    several = ask("POST", f"{path}/os-extra_specs", {"extra_specs": specs}, version=version)
    one = ask(
        "PUT", f"{path}/os-extra_specs/hw:cpu_cores", {"hw:cpu_cores": "none"}, version=version
    )

    assert (several.status_code, one.status_code) == (status, status)
    for refused in (several, one) if status == 400 else ():
        assert "'hw:cpu_cores'" in refused.json["badRequest"]["message"]

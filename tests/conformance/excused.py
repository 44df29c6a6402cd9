# SPDX-License-Identifier: Apache-2.0
"""What the contract suite lets pass although it does not hold yet, with the reason.

An operation that starts to hold makes its test fail here, so that the tables only shrink.
"""

from tests.conformance.operations import Key

_NO_POWER = "hosts are not powered from here: 501"

ANSWERS: dict[Key, str] = {
    ("GET", "/os-hosts/{id}/reboot", None): _NO_POWER,
    ("GET", "/os-hosts/{id}/shutdown", None): _NO_POWER,
    ("GET", "/os-hosts/{id}/startup", None): _NO_POWER,
}
# Policy rules that test_rules.py cannot ask for.
RULES: dict[str, str] = {
    "compute:server:topology:host:index": "which CPUs of a host a server has, only the host knows",
    "compute:servers:resize:cross_cell": "there are no cells: nobody is ever let through",
    "os_compute_api:servers:show:host_status:unknown-only": "asked only where an operator lets"
    " more callers through than by default",
}
RANGES: dict[Key, str] = {}
GONE: dict[Key, str] = {}

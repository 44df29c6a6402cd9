# SPDX-License-Identifier: Apache-2.0
"""What the contract suite cannot ask for, with the reason."""

# Policy rules that test_rules.py cannot ask for.
RULES: dict[str, str] = {
    "compute:server:topology:host:index": "which CPUs of a host a server has, only the host knows",
    "compute:servers:resize:cross_cell": "there are no cells: nobody is ever let through",
    "os_compute_api:servers:show:host_status:unknown-only": "asked only where an operator lets"
    " more callers through than by default",
}

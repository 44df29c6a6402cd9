# SPDX-License-Identifier: Apache-2.0
"""Commands that do not work yet, with the reason. One that starts to work fails its test here."""

_SWAPPED = "the client passes the server where openstacksdk wants the migration, and the other way"

COMMANDS: dict[str, str] = {
    "openstack server migration show {s} {migration}": _SWAPPED,
}

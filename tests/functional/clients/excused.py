# SPDX-License-Identifier: Apache-2.0
"""Commands that do not work yet, with the reason. One that starts to work fails its test here."""

_NOT_BUILT = "not built yet"

_SWAPPED = "the client passes the server where openstacksdk wants the migration, and the other way"

COMMANDS: dict[str, str] = {
    "openstack server migration show {s} {migration}": _SWAPPED,
    "openstack server create --flavor tiny --boot-from-volume 1 --image {image} --no-network --wait {name}": _NOT_BUILT,  # noqa: E501
    "openstack server create --flavor tiny --volume {volume} --no-network --wait {name}": _NOT_BUILT,  # noqa: E501
    "openstack server unset --property c --tag u --description {s}": _NOT_BUILT,
    "openstack console url show --novnc {s}": _NOT_BUILT,
    "openstack console url show --serial {s}": _NOT_BUILT,
    "openstack server remove fixed ip {s} {ip}": _NOT_BUILT,
    "openstack server add volume {s} {volume}": _NOT_BUILT,
    "openstack server add volume --device /dev/vdb --tag t --enable-delete-on-termination {s} {volume}": _NOT_BUILT,  # noqa: E501
    "openstack server volume list {s}": _NOT_BUILT,
    "openstack server volume set --delete-on-termination {s} {volume}": _NOT_BUILT,
    "openstack server remove volume {s} {volume}": _NOT_BUILT,
    "openstack aggregate cache image {aggregate} {image}": _NOT_BUILT,
    "nova get-vnc-console {s} novnc": _NOT_BUILT,
    "nova get-serial-console {s}": _NOT_BUILT,
    "nova volume-attach {s} {volume}": _NOT_BUILT,
    "nova volume-attachments {s}": _NOT_BUILT,
    "nova volume-detach {s} {volume}": _NOT_BUILT,
    "nova instance-usage-audit-log": _NOT_BUILT,
}

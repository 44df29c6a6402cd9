# SPDX-License-Identifier: Apache-2.0
"""What it costs to check the body of a request before anything is done with it."""

import statistics
import timeit
from typing import Any

from services.api.resources.servers import bodies

_ROUNDS, _TIMES = 20, 200
_NO_ID = "99999999-9999-4999-8999-999999999999"
_SMALL: dict[str, Any] = {
    "name": "small", "flavorRef": "1", "imageRef": _NO_ID, "networks": "none",
}  # fmt: skip
_LARGE: dict[str, Any] = {
    "name": "large", "flavorRef": "1", "imageRef": _NO_ID, "adminPass": "secret",
    "availability_zone": "nova", "config_drive": True, "key_name": "key", "min_count": 1,
    "max_count": 10, "user_data": "A" * 4096, "description": "d", "hostname": "web",
    "OS-DCF:diskConfig": "AUTO", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1",
    "metadata": {f"key{number}": "value" for number in range(20)},
    "tags": [f"tag{number}" for number in range(20)],
    "networks": [{"uuid": _NO_ID, "tag": f"nic{number}"} for number in range(8)],
    "security_groups": [{"name": f"group{number}"} for number in range(5)],
    "block_device_mapping_v2": [
        {"source_type": "image", "destination_type": "volume", "uuid": _NO_ID, "boot_index": 0,
         "volume_size": 10, "delete_on_termination": True, "tag": f"disk{number}"}
        for number in range(8)
    ],
}  # fmt: skip


def measure() -> None:
    """Check a small and a large body of POST /servers many times; print the medians."""
    for name, server in (("small", _SMALL), ("large", _LARGE)):
        document = {"server": server, "os:scheduler_hints": {"group": _NO_ID}}
        bodies.CREATE.check(document, 104)
        took = timeit.repeat(
            lambda doc=document: bodies.CREATE.check(doc, 104), repeat=_ROUNDS, number=_TIMES
        )
        ms = statistics.median(took) / _TIMES * 1000
        print(f"validation of a {name} body of POST /servers: {ms:.3f} ms")

# SPDX-License-Identifier: Apache-2.0
"""Names of devices: the convention by which guests' taps and networks' bridges find each other."""

# Linux allows 15 characters and a NUL; 11 of a UUID keep the usual three-letter prefixes.
_ID_LENGTH = 11


def tap(port_id: str) -> str:
    """The host's side of a port."""
    return f"tap{port_id[:_ID_LENGTH]}"


def bridge(network_id: str) -> str:
    """The bridge of a network."""
    return f"br{network_id[:_ID_LENGTH]}"

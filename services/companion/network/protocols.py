# SPDX-License-Identifier: Apache-2.0
"""IP protocols, as rules of security groups name them."""

# Names and numbers of IP protocols that a rule may have.
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58,
    "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113,
    "sctp": 132, "udplite": 136,
}  # fmt: skip
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
ICMP = frozenset((1, 58))


def protocol_number(protocol: str | None) -> int | None:
    """The number of a stored protocol; None for every one."""
    if protocol is None:
        return None
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)

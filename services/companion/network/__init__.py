# SPDX-License-Identifier: Apache-2.0
"""Network API v2.0: networks, subnets, ports and security groups, and the plane beneath them."""

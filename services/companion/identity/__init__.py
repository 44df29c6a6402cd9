# SPDX-License-Identifier: Apache-2.0
"""Identity API v3: who somebody is, what they may act on, and where the services are."""

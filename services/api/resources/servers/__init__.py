# SPDX-License-Identifier: Apache-2.0
"""`/servers` and what belongs to a server."""

# SPDX-License-Identifier: Apache-2.0
"""What travels on the bus: frozen msgspec structs, one concept a file."""

# SPDX-License-Identifier: Apache-2.0
"""Block Storage API v3: volumes and snapshots in the store, their data in files."""

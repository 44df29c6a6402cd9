# SPDX-License-Identifier: Apache-2.0
"""The companion's own store: one SQLite file."""

# SPDX-License-Identifier: Apache-2.0
"""Image API v2: descriptions in the store, data in files."""

# SPDX-License-Identifier: Apache-2.0
"""A small Shared File Systems API, v2: shares are folders that an NFS server exports."""

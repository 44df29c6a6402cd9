# SPDX-License-Identifier: Apache-2.0
"""Bringing a cloud up on one machine; never imported by a daemon."""

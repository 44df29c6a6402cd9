# SPDX-License-Identifier: Apache-2.0
"""What the four APIs share of HTTP: bodies, fields, faults, callers, pages."""

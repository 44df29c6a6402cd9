# SPDX-License-Identifier: Apache-2.0
"""What the three APIs share of HTTP: bodies, fields, faults, callers, pages."""

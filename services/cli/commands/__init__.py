# SPDX-License-Identifier: Apache-2.0
"""The commands of `kilonova`, one module a noun."""

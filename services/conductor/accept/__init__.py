# SPDX-License-Identifier: Apache-2.0
"""The half of a request before its 202: checks, quota, rows and task, in one commit."""

# SPDX-License-Identifier: Apache-2.0
"""The fake driver: guests in memory, with delays and failures to order.

For tests of scale (one process stands for thousands of hosts) and of failures.
"""

# SPDX-License-Identifier: Apache-2.0
"""Extra specs of flavors that are known, and whether what an administrator sets is one of them."""

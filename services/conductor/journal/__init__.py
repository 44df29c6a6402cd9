# SPDX-License-Identifier: Apache-2.0
"""The task journal: moves flows step by step, whatever is killed meanwhile. It knows no flow."""

# SPDX-License-Identifier: Apache-2.0
"""The conductor's side of common/rpc/conductor, one module an interface."""

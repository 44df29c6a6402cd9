# SPDX-License-Identifier: Apache-2.0
"""Declarations: a body, a query or an answer is written down once, with its microversions.

From one declaration come the JSON Schema that validates at a microversion, the shape of the
answer, and the OpenAPI document.
"""

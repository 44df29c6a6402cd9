# SPDX-License-Identifier: Apache-2.0
"""The API's resources, one module each: the declaration first, the responders below it."""

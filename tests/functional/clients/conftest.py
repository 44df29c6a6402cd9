# SPDX-License-Identifier: Apache-2.0
"""The stock clients against a whole cloud of real processes."""

from tests.functional.cloud import *  # noqa: F403

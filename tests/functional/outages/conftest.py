# SPDX-License-Identifier: Apache-2.0
"""Parts of a cloud go away and come back; the cloud is one of real processes."""

from tests.functional.cloud import *  # noqa: F403

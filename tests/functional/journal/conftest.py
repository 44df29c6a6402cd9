# SPDX-License-Identifier: Apache-2.0
"""The journal over a private PostgreSQL."""

from tests.functional.postgres import *  # noqa: F403

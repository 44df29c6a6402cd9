# SPDX-License-Identifier: Apache-2.0
"""The database suite works on a private PostgreSQL."""

from tests.functional.postgres import *  # noqa: F403

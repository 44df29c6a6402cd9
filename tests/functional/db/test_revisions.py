# SPDX-License-Identifier: Apache-2.0
"""The schema: revisions lead to what tables.py describes."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.conductor.db import revisions, tables

pytestmark = pytest.mark.functional


def test_revisions_lead_to_the_tables_that_the_code_describes(database):
    with database.begin() as conn:
        difference = compare_metadata(MigrationContext.configure(conn), tables.metadata)

    assert [step for step in difference if "journal" not in str(step)] == []


def test_upgrading_again_changes_nothing(database):
    with database.begin() as conn:
        revisions.upgrade(conn)

        assert revisions.current(conn) == revisions.head()

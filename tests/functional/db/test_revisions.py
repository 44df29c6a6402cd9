# SPDX-License-Identifier: Apache-2.0
"""Revisions of the schema. That they lead to what the code describes, `db check` finds."""

import pytest
from alembic.script import ScriptDirectory

from services.conductor.db import revisions

pytestmark = pytest.mark.functional


def test_upgrading_again_changes_nothing(database):
    with database.begin() as conn:
        revisions.upgrade(conn)

        assert revisions.current(conn) == revisions.head()


def test_the_newest_revision_is_alembics():
    assert revisions.head() == ScriptDirectory.from_config(revisions.config()).get_current_head()

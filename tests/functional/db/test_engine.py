# SPDX-License-Identifier: Apache-2.0
"""The pool: what callers see when PostgreSQL is away, and that it comes back by itself."""

import threading
import time

import pytest
from sqlalchemy import exc as sa
from sqlalchemy import text

from common.errors import Invalid, Unavailable
from services.conductor.db.engine import Database

pytestmark = pytest.mark.functional


def is_answered(database):
    try:
        database.check()
    except Unavailable:
        return False
    return True


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True], ids=["stop", "kill"])
def test_a_database_that_went_away_is_unavailable_and_then_serves_again(database, postgres, killed):
    threads = [threading.Thread(target=database.check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with postgres.away(killed=killed):
        wait_for(lambda: not is_answered(database))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="The database is not available"):
            database.check()
        took_s = time.monotonic() - began

    assert took_s < 5
    assert is_answered(database)


def test_a_transaction_that_loses_its_connection_is_unavailable(database, database_url):
    other = Database(database_url, pool_size=1)

    def work():
        with database.begin() as conn:
            pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with other.begin() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            conn.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        work()
    other.close()

    assert is_answered(database)


def test_the_connection_that_was_used_last_is_used_again(database_url):
    pool = Database(database_url)
    pid = text("SELECT pg_backend_pid()")
    with pool.begin() as last:
        with pool.begin() as other:
            pids = {other.execute(pid).scalar_one(), last.execute(pid).scalar_one()}
        used_last = last.execute(pid).scalar_one()

    used = []
    for _ in range(3):
        with pool.read() as conn:
            used.append(conn.execute(pid).scalar_one())
    pool.close()

    assert len(pids) == 2
    assert used == [used_last] * 3


def test_a_full_pool_is_unavailable_within_its_time(database_url):
    small = Database(database_url, pool_size=1, connect_timeout_s=1)
    with small.begin():
        began = time.monotonic()
        with pytest.raises(Unavailable):
            small.check()
        assert time.monotonic() - began < 3
    small.close()


def test_a_server_that_cannot_be_reached_is_unavailable():
    nowhere = Database("postgresql+psycopg2://x@127.0.0.1:1/x", connect_timeout_s=1)

    with pytest.raises(Unavailable):
        nowhere.check()


def test_a_wrong_statement_is_no_outage(database):
    with pytest.raises(sa.ProgrammingError), database.begin() as conn:
        conn.execute(text("SELECT nonsense"))

    assert is_answered(database)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a' ~ '('",
        "SELECT CAST('soon' AS timestamptz)",
        r"""SELECT CAST('"\u0000"' AS jsonb)""",
        "SELECT CAST(4294967296 AS int)",
    ],
)
def test_what_a_client_got_wrong_is_invalid(database, statement):
    with pytest.raises(Invalid), database.begin() as conn:
        conn.exec_driver_sql(statement)


def test_connections_speak_utc_and_say_who_they_are(database):
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT current_setting('TimeZone'), current_setting('application_name'), "
                 "current_setting('statement_timeout')")
        ).one()  # fmt: skip

    assert tuple(rows) == ("UTC", "kilonova-conductor", "20s")


def test_what_a_failed_block_wrote_is_rolled_back(database):
    insert = text("INSERT INTO aggregates (uuid, name) VALUES ('u', 'n')")

    def fail():
        with database.begin() as conn:
            conn.execute(insert)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with database.read() as conn:
        assert conn.execute(text("SELECT count(*) FROM aggregates")).scalar_one() == 0

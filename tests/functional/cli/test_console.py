# SPDX-License-Identifier: Apache-2.0
"""`kilonova console` against a cloud whose guests are in memory: how it fails."""

import os
import subprocess

import pytest

from tests.functional.cli.shell import KILONOVA

pytestmark = pytest.mark.functional


@pytest.fixture
def at_terminal(admin):
    """Runs the command in a terminal; (exit code, what it wrote on standard error)."""

    def run(*arguments):
        user, terminal = os.openpty()
        try:
            done = subprocess.run(
                [KILONOVA, *arguments], env=admin.environment, stdin=terminal, stdout=terminal,
                stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            )  # fmt: skip
        finally:
            os.close(user)
            os.close(terminal)
        return done.returncode, done.stderr

    return run


def test_a_console_that_does_not_answer_says_so(at_terminal, boot):
    server = boot("quiet")

    code, said = at_terminal("console", server)

    assert code == 1
    assert "Connected to quiet. Ctrl-] leaves." in said
    assert "The console of quiet has ended: The server's console does not answer." in said


def test_a_server_that_does_not_exist_is_3(at_terminal):
    assert at_terminal("console", "nobody")[0] == 3


def test_a_server_that_is_off_is_4(at_terminal, boot, demo):
    server = boot("off")
    demo.compute.stop_server(server)
    demo.compute.wait_for_server(demo.compute.get_server(server), status="SHUTOFF", interval=0.1)

    code, said = at_terminal("console", server)

    assert code == 4
    assert said.strip() == f"kilonova: Instance {server} is not ready"


def test_without_a_console_daemon_its_address_is_named_without_the_token(at_terminal, boot, cloud):
    server = boot("lonely")
    cloud.stop("console")
    try:
        code, said = at_terminal("console", server)
    finally:
        cloud.start("console")

    assert code == 5
    assert f"ws://127.0.0.1:{cloud.ports['serial-console']}/ is not reached" in said
    assert "token" not in said


def test_what_is_no_terminal_has_no_console(admin):
    code, line = admin.refused("console", "any")

    assert code == 2
    assert "terminal" in line

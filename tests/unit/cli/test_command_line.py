# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: exit codes, one line for an error, completion, plug-ins."""

import os
import subprocess
import sys

import pytest

from services.cli.failures import ExitCode, refused
from services.cli.main import run


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch, tmp_path):
    """No clouds.yaml, no OS_* variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 5), (403, 5), (404, 3), (409, 4), (410, 1), (503, 5)]
)
def test_every_refusal_has_its_exit_code(status, code):
    assert refused(status, "text").code == code


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["service", "disable"], ["op", "list", "--limit", "0"], ["--wat"]]
)
def test_wrong_usage_is_2(arguments, capsys):
    assert run(arguments) == ExitCode.USAGE
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["service", "--help"], ["--version"]])
def test_help_is_no_failure(arguments):
    assert run(arguments) == ExitCode.OK


def test_without_a_cloud_one_line_says_what_to_do(capsys):
    code = run(["service", "list"])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == ExitCode.USAGE
    assert line.startswith("kilonova: ")
    assert "--cloud or OS_CLOUD" in line


def test_an_unknown_cloud_is_named(capsys):
    assert run(["--cloud", "mars", "status"]) == ExitCode.USAGE
    assert "mars" in capsys.readouterr().err


def test_a_cloud_that_is_not_reached_is_unavailable(monkeypatch, capsys):
    for name, value in {
        "AUTH_URL": "http://127.0.0.1:1/v3", "USERNAME": "u", "PASSWORD": "p", "PROJECT_NAME": "p",
        "USER_DOMAIN_NAME": "Default", "PROJECT_DOMAIN_NAME": "Default",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"OS_{name}", value)

    assert run(["service", "list"]) == ExitCode.UNAVAILABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert "127.0.0.1:1" in line


def test_debug_shows_the_trace():
    with pytest.raises(Exception, match="mars"):
        run(["--debug", "--cloud", "mars", "status"])


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete ")]
)
def test_completion_prints_a_script_for_each_shell(shell, word, capsys):
    assert run(["completion", shell]) == ExitCode.OK
    script = capsys.readouterr().out
    assert word in script
    assert "_KILONOVA_COMPLETE" in script


def test_completion_offers_commands(monkeypatch):
    asked = {"COMP_WORDS": "kilonova service fo", "COMP_CWORD": "2"}
    for name, value in {**asked, "_KILONOVA_COMPLETE": "bash_complete"}.items():
        monkeypatch.setenv(name, value)

    done = subprocess.run(
        [sys.executable, "-c", "from services.cli.main import main; main()"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == "plain,force-down"


def test_commands_of_other_packages_are_plugged_in(capsys):
    assert run(["db", "--help"]) == ExitCode.OK
    assert "upgrade" in capsys.readouterr().out


def test_a_reader_that_has_enough_is_no_trouble(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -c 'from services.cli.main import main; main()' completion zsh | true",
        shell=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "Exception" not in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""`kilonova config check` finds what oslo.config would silently ignore."""

import json

import pytest

from services.cli.main import run


@pytest.fixture
def check(tmp_path, capsys):
    """Checks a file of this text; (exit code, lines without the file's name)."""

    def run_on(text: str) -> tuple[int, list[str]]:
        file = tmp_path / "k.conf"
        file.write_text(text)
        code = run(["config", "check", "--config-file", str(file)])
        return code, capsys.readouterr().out.replace(f"{file}:", "").splitlines()

    return run_on


def test_a_file_that_is_right_passes(check):
    code, lines = check(
        "# a comment\n[DEFAULT]\nhost = node1\nheartbeat_interval_s=5\ndebug = true\n"
        "transport_url = rabbit://u:p@h:5672/v\n"
        "[oslo_messaging_rabbit]\nssl = false\n"
        "[keystone_authtoken]\nauth_type = password\nauth_url = http://i/v3\nusername = nova\n"
        "password = a=b:c\n"
        "[service_user]\nauth_type=password\nuser_domain_name = Default\n"
        "[scheduler]\nenabled_filters = ComputeFilter,\n  CapacityFilter\n"
        "[database]\nconnection: postgresql://u@h/n\n"
    )

    assert (code, lines) == (0, ["13 settings in 1 files, 0 problems."])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[metadata]\n\nprot = 8775\n",
            "3: [metadata] prot: unknown option; did you mean port?",
        ),
        (
            "[metadta]\nport = 1\nhost = x\n",
            "2: [metadta]: unknown group; did you mean [metadata]?",
        ),
        (
            "[metadata]\npower_off_zzz = 1\n",
            "2: [metadata] power_off_zzz: unknown option",
        ),
        (
            "[DEFAULT]\nenabled_filters = a\n",
            "2: [DEFAULT] enabled_filters: unknown option; "
            "did you mean enabled_filters in [scheduler]?",
        ),
        (
            "[metadata]\nport = many\n",
            "2: [metadata] port: bad value 'many': invalid literal for int() with base 10: 'many'",
        ),
        (
            "[metadata]\ncache_s = -1\n",
            "2: [metadata] cache_s: bad value '-1': Should be greater than or equal to 0",
        ),
        ("host\n", "1: [DEFAULT]: cannot be read: 'host'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_was_meant(check, text, line):
    code, lines = check(text)

    assert code == 1
    assert lines[0] == line
    assert lines[-1].endswith(", 1 problems.")


def test_a_value_that_refers_to_another_option_is_not_judged(check):
    assert check("[metadata]\nport = $my_port\n")[0] == 0


def test_a_secret_is_never_repeated(check):
    code, lines = check("[metadata]\nproxy_shared_secrets = hunter2\n")

    assert code == 1
    assert "hunter2" not in "".join(lines)


def test_programs_get_the_problems_as_data(tmp_path, capsys):
    file = tmp_path / "k.conf"
    file.write_text("[metadata]\nprot = 1\n")

    code = run(["config", "check", "--config-file", str(file), "-f", "json"])

    assert code == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": str(file), "line": 2, "group": "metadata", "option": "prot",
            "problem": "unknown option", "suggestion": "port",
        }
    ]  # fmt: skip


def test_a_file_that_does_not_exist_is_wrong_usage(capsys):
    assert run(["config", "check", "--config-file", "/nonexistent"]) == 2
    assert "does not exist" in capsys.readouterr().err

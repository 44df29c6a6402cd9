# SPDX-License-Identifier: Apache-2.0
"""The files that `up` writes for daemons and users."""

import json
import subprocess
from pathlib import Path

import pytest

from deploy.bringup import passwords
from deploy.bringup.configuration import Backends, Configuration, ini
from deploy.bringup.daemons import Daemons
from deploy.bringup.paths import Paths, write
from deploy.bringup.settings import Settings
from services.cli import config_files

_BACKENDS = Backends(
    "postgresql+psycopg2://k:secret-db@h/k", "rabbit://k:secret-mq@h/k", "qemu:///x"
)


def _cloud(folder: Path, *drivers: str) -> tuple[Paths, Configuration, Daemons]:
    paths = Paths.below(str(folder))
    paths.make()
    settings = Settings(drivers=drivers, host="node", namespace="spam")
    configuration = Configuration(paths, settings, passwords.ensure(paths.state / "passwords.json"))
    configuration.write(_BACKENDS)
    return paths, configuration, Daemons(paths, settings, configuration)


@pytest.mark.parametrize("drivers", [("libvirt",), ("fake",), ("libvirt", "fake")])
def test_the_daemons_know_every_option_that_is_written(
    tmp_path: Path, drivers: tuple[str, ...]
) -> None:
    _, _, daemons = _cloud(tmp_path, *drivers)
    known = config_files.known_options()

    problems = [
        str(problem)
        for name in daemons.names()
        for file in daemons.config_files(name)
        for problem in config_files.check(file, known)
    ]

    assert problems == []


def test_only_root_reads_a_file_with_a_password(tmp_path: Path) -> None:
    paths, configuration, _ = _cloud(tmp_path, "libvirt", "fake")
    secret = set(passwords.ensure(paths.state / "passwords.json").values()) | {"secret-db"}

    for file in paths.etc.iterdir():
        if any(word in file.read_text() for word in secret):
            assert file.stat().st_mode & 0o007 == 0, file
    assert "secret-db" not in configuration.file("kilonova").read_text()


def test_the_fake_hosts_are_the_compute_daemon_where_there_is_no_other(tmp_path: Path) -> None:
    _, configuration, daemons = _cloud(tmp_path, "fake")

    assert "compute-fake" not in daemons.names()
    assert configuration.file("compute-fake") in daemons.config_files("compute")


def test_both_drivers_are_two_daemons(tmp_path: Path) -> None:
    _, configuration, daemons = _cloud(tmp_path, "libvirt", "fake")

    assert {"compute", "compute-fake"} <= set(daemons.names())
    assert configuration.file("compute-fake") not in daemons.config_files("compute")


def test_users_find_both_their_clouds_in_clouds_yaml(tmp_path: Path) -> None:
    paths, _, _ = _cloud(tmp_path, "fake")

    clouds = json.loads(paths.clouds_yaml.read_text())["clouds"]

    users = {name: cloud["auth"]["username"] for name, cloud in clouds.items()}
    assert users == {"kilonova": "demo", "kilonova-admin": "admin"}


def test_a_shell_takes_openrc(tmp_path: Path) -> None:
    paths, _, _ = _cloud(tmp_path, "fake")

    said = subprocess.run(
        ["bash", "-euc", '. "$0"; echo "$OS_USERNAME $OS_PROJECT_NAME ${OS_CLOUD-none}"',
         paths.openrc],
        env={"OS_CLOUD": "other"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout == "demo demo none\n"


def test_oslo_config_gets_a_dollar_back_as_it_was() -> None:
    assert "word = a$$b" in ini({"group": {"word": "a$b"}})


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert write(file, "text", 0o640)
    before = file.stat().st_ino

    assert not write(file, "text", 0o640)
    assert file.stat().st_ino == before

# SPDX-License-Identifier: Apache-2.0
"""The files that `up` writes for daemons and users."""

import configparser
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
    "postgresql+psycopg2://k:secret-db@h/k", "rabbit://k:secret-mq@h/k", "qemu:///x", "lxc:///x"
)


def _cloud(folder: Path, *drivers: str) -> tuple[Paths, Configuration, Daemons]:
    paths = Paths.below(str(folder))
    paths.make()
    settings = Settings(drivers=drivers, host="node", namespace="spam")
    configuration = Configuration(paths, settings, passwords.ensure(paths.state / "passwords.json"))
    configuration.write(_BACKENDS)
    return paths, configuration, Daemons(paths, settings, configuration)


@pytest.mark.parametrize(
    "drivers", [("libvirt",), ("lxc",), ("fake",), ("lxc", "fake"), ("libvirt", "lxc", "fake")]
)
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


def test_containers_have_a_host_of_their_own_beside_machines(tmp_path: Path) -> None:
    _, _, daemons = _cloud(tmp_path, "libvirt", "lxc")

    options = _options(daemons.config_files("compute-lxc"))

    assert options["DEFAULT"]["host"] == "node-lxc"
    assert options["DEFAULT"]["state_path"] == str(tmp_path / "lib" / "lxc")
    assert options["compute"]["driver"] == "libvirt"
    assert options["libvirt"]["virt_type"] == "lxc"
    assert options["libvirt"]["connection_uri"] == "lxc:///x"
    assert daemons.needs_root("compute-lxc")
    machines = _options(daemons.config_files("compute"))
    assert machines["DEFAULT"]["host"] == "node"
    assert "virt_type" not in machines["libvirt"]


def test_containers_are_the_compute_daemon_where_there_are_no_machines(tmp_path: Path) -> None:
    _, configuration, daemons = _cloud(tmp_path, "lxc", "fake")

    assert configuration.file("compute-lxc") in daemons.config_files("compute")
    assert "compute-lxc" not in daemons.names()
    assert (daemons.needs_root("compute"), daemons.needs_root("compute-fake")) == (True, False)


def test_ports_of_machines_and_of_containers_are_on_this_machines_bridges(tmp_path: Path) -> None:
    _, _, daemons = _cloud(tmp_path, "libvirt", "lxc", "fake")

    companion = _options(daemons.config_files("companion"))["companion"]

    assert companion["data_plane"] == "true"
    assert companion["plane_hosts"] == "node,node-lxc"


def _options(files: list[Path]) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(default_section="none", interpolation=None)
    parser.read(files)
    return parser


def test_the_one_host_of_real_guests_may_resize_them(tmp_path: Path) -> None:
    _, real, _ = _cloud(tmp_path / "real", "libvirt")
    _, fake, _ = _cloud(tmp_path / "fake", "fake")

    option = "allow_resize_to_same_host"
    assert option in real.file("kilonova").read_text()
    assert option not in fake.file("kilonova").read_text()


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

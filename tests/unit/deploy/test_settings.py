# SPDX-License-Identifier: Apache-2.0
"""What `up` remembers, and how it merges it with what it is asked."""

from pathlib import Path

import pytest

from deploy.bringup import passwords, settings
from deploy.bringup.failures import Failed
from deploy.bringup.settings import DEFAULT_PORTS, Settings, merged, parse_drivers, parse_ports


def _ask(before: Settings | None, **asked: object) -> Settings:
    return merged(
        before, Settings(host="h"), **({"drivers": (), "fake_hosts": None, "ports": {}} | asked)
    )


def test_a_new_cloud_has_just_the_drivers_that_were_asked_for() -> None:
    assert _ask(None, drivers=("fake",)).drivers == ("fake",)


def test_a_new_cloud_that_asks_for_nothing_runs_real_guests() -> None:
    assert _ask(None).drivers == ("libvirt",)


def test_a_driver_is_added_to_a_cloud_and_never_taken_away() -> None:
    before = _ask(None, drivers=("libvirt",))

    after = _ask(before, drivers=("fake",), fake_hosts=100)

    assert (after.drivers, after.fake_hosts) == (("libvirt", "fake"), 100)


def test_the_first_driver_is_the_daemon_compute_and_hosts_keep_their_names() -> None:
    alone = _ask(None, drivers=("lxc",))
    beside = _ask(alone, drivers=("fake", "libvirt"))

    assert (alone.program_of("lxc"), alone.host_of("lxc")) == ("compute", "h-lxc")
    assert (beside.program_of("lxc"), beside.host_of("lxc")) == ("compute-lxc", "h-lxc")
    assert (beside.program_of("libvirt"), beside.host_of("libvirt")) == ("compute", "h")
    assert beside.program_of("fake") == "compute-fake"


def test_a_cloud_keeps_its_uplink_until_it_is_told_otherwise() -> None:
    without = _ask(None, uplink=False)

    assert _ask(None).has_uplink
    assert not _ask(without).has_uplink
    assert _ask(without, uplink=True).has_uplink


def test_a_later_up_without_options_changes_nothing() -> None:
    before = _ask(None, drivers=("fake",), fake_hosts=7, ports={"api": 18774})

    assert _ask(before) == before


def test_settings_come_back_as_they_were_saved(tmp_path: Path) -> None:
    chosen = _ask(None, drivers=("fake",), ports={"api": 18774})

    settings.save(tmp_path / "settings.json", chosen)

    assert settings.load(tmp_path / "settings.json") == chosen


def test_no_file_means_no_cloud(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "settings.json") is None


@pytest.mark.parametrize(
    ("text", "drivers"),
    [
        ("both", ("libvirt", "fake")),
        ("fake", ("fake",)),
        ("libvirt,fake", ("libvirt", "fake")),
        ("lxc", ("lxc",)),
    ],
)
def test_drivers_are_read_from_the_command_line(text: str, drivers: tuple[str, ...]) -> None:
    assert parse_drivers(text) == drivers


def test_an_unknown_driver_is_named() -> None:
    with pytest.raises(Failed, match="'xen'"):
        parse_drivers("fake,xen")


@pytest.mark.parametrize("text", ["api", "api=", "api=0", "api=65536", "api=x", "web=80"])
def test_a_port_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="NAME=PORT"):
        parse_ports([text])


def test_no_two_programs_share_a_default_port() -> None:
    assert len(set(DEFAULT_PORTS.values())) == len(DEFAULT_PORTS)


def test_passwords_are_made_once_and_for_root_alone(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"

    first = passwords.ensure(file)

    assert passwords.ensure(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(set(first.values())) == len(first)

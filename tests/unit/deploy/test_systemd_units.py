# SPDX-License-Identifier: Apache-2.0
"""The units that `deploy/up` installs where systemd is PID 1."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bringup.paths import Paths
from deploy.bringup.program import Program
from deploy.bringup.systemd_units import UNITS, generated, unit_text

_SERVICES = sorted(UNITS.glob("*.service"))
_BIN = Path(sys.executable).parent


def _installed(folder: Path) -> list[Path]:
    """The units as they would be installed: their programs are where this Python has them."""
    made = []
    for unit in sorted(UNITS.iterdir()):
        made.append(folder / unit.name)
        # what a packager's machine has and this one need not
        text = unit.read_text().replace("/usr/bin/", f"{_BIN}/")
        made[-1].write_text(text.replace("file:///usr/share/doc/kilonova/", "https://example.org/"))
    return made


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_to_say_about_any_unit(tmp_path: Path) -> None:
    units = _installed(tmp_path)

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert verified.stdout + verified.stderr == ""


@pytest.mark.parametrize("unit", _SERVICES, ids=lambda unit: unit.stem)
def test_every_daemon_is_confined(unit: Path) -> None:
    lines = unit.read_text().splitlines()

    assert "User=kilonova" in lines
    assert "NoNewPrivileges=yes" in lines
    assert "ProtectSystem=strict" in lines
    assert any(line.startswith("CapabilityBoundingSet=") for line in lines)
    assert "CAP_SYS_ADMIN" not in unit.read_text()


def test_an_installed_unit_runs_this_clouds_command(tmp_path: Path) -> None:
    program = Program("api", ("/srv/venv/bin/kilonova-api", "--config-file", "/srv/x.conf"), "log")

    text = unit_text(program, Paths.below(str(tmp_path)))

    assert "ExecStart=/srv/venv/bin/kilonova-api --config-file /srv/x.conf" in text.splitlines()
    assert text.count("ExecStart=") == 1


def test_a_backends_unit_carries_user_signal_and_environment() -> None:
    program = Program(
        "postgresql", ("/bin/postgres",), "/log", user="postgres", stop_signal="SIGINT",
        environment={"A": "b c"},
    )  # fmt: skip

    lines = generated(program, "/bin/postgres").splitlines()

    assert {"User=postgres", "KillSignal=SIGINT", "Environment='A=b c'"} <= set(lines)

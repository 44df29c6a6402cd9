# SPDX-License-Identifier: Apache-2.0
"""Programs as systemd units: our daemons' own units, and generated ones for the backends."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from deploy.bringup import daemon_user
from deploy.bringup.commands import run, succeeds
from deploy.bringup.paths import REPOSITORY, Paths, write
from deploy.bringup.program import Kept, Program

UNITS = REPOSITORY / "deploy" / "systemd"
_SYSTEM = Path("/etc/systemd/system")
_TARGET = "kilonova.target"
_USER = "kilonova"
_LIBVIRT_GROUP = "libvirt"
_LOG_ROTATION = Path("/etc/logrotate.d/kilonova")
_ROTATE = """\
{folder}/*.log {{
    daily
    maxsize 20M
    rotate 5
    compress
    delaycompress
    missingok
    notifempty
    # systemd keeps the files open
    copytruncate
}}
"""


class SystemdUnits:
    """Starts, stops and finds programs by `systemctl`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def prepare(self) -> None:
        """Make the daemons' user and its folders, and install the target that starts at boot."""
        daemon_user.ensure(_USER, self._paths, [_LIBVIRT_GROUP])
        write(_LOG_ROTATION, _ROTATE.format(folder=self._paths.log))
        if write(_SYSTEM / _TARGET, (UNITS / _TARGET).read_text()):
            run("systemctl", "daemon-reload")
        run("systemctl", "enable", "-q", _TARGET)

    def user(self, *, needs_root: bool) -> str:
        """Its own user for every daemon: units give single rights of root's."""
        return _USER

    def hand_over(self, files: Sequence[Path]) -> None:
        """Let the daemons read files that root wrote."""
        daemon_user.hand_over(_USER, files)

    def start(self, program: Program) -> bool:
        """Install its unit when that changed, and start it."""
        unit = unit_name(program.name)
        changed = write(_SYSTEM / unit, unit_text(program, self._paths))
        # systemd has no word for what a program reads: a comment in a drop-in carries it
        drop_in = _SYSTEM / f"{unit}.d" / "revision.conf"
        drop_in.parent.mkdir(exist_ok=True)
        changed |= write(drop_in, f"[Unit]\n# {program.fingerprint()}\n")
        if changed:
            run("systemctl", "daemon-reload")
        is_active = succeeds("systemctl", "is-active", "-q", unit)
        if is_active and not changed:
            return False
        run("systemctl", "enable", "-q", unit)
        run("systemctl", "restart", "--no-block", unit)
        return True

    def stop(self, name: str) -> bool:
        """Stop the unit; whether it ran."""
        was_active = succeeds("systemctl", "is-active", "-q", unit_name(name))
        if (_SYSTEM / unit_name(name)).exists():
            run("systemctl", "disable", "-q", unit_name(name))
            run("systemctl", "stop", unit_name(name), timeout_s=120)
        return was_active

    def forget(self, name: str) -> None:
        """Stop and remove the unit."""
        self.stop(name)
        unit = _SYSTEM / unit_name(name)
        (unit.with_name(f"{unit.name}.d") / "revision.conf").unlink(missing_ok=True)
        if unit.with_name(f"{unit.name}.d").is_dir():
            unit.with_name(f"{unit.name}.d").rmdir()
        unit.unlink(missing_ok=True)
        run("systemctl", "daemon-reload")

    def remove(self) -> None:
        """Remove the target and the daemons' user."""
        if (_SYSTEM / _TARGET).exists():
            run("systemctl", "disable", "-q", _TARGET)
            (_SYSTEM / _TARGET).unlink()
            run("systemctl", "daemon-reload")
        _LOG_ROTATION.unlink(missing_ok=True)
        daemon_user.remove(_USER)

    def state(self, name: str) -> Kept:
        """What systemd says of the unit."""
        asked = run(
            "systemctl", "show", unit_name(name),
            "-p", "MainPID,NRestarts,ExecMainStatus,ActiveState",
        )  # fmt: skip
        found = dict(line.partition("=")[::2] for line in asked.splitlines())
        return Kept(
            pid=int(found.get("MainPID") or 0),
            restarts=int(found.get("NRestarts") or 0),
            last_exit=int(found.get("ExecMainStatus") or 0),
            # A unit that is being restarted deactivates first.
            is_kept=found.get("ActiveState")
            in {"active", "activating", "reloading", "deactivating"},
        )

    def has(self, name: str) -> bool:
        """Whether it runs."""
        return self.state(name).is_kept

    def names(self) -> list[str]:
        """Programs whose units are installed."""
        units = _SYSTEM.glob(f"{unit_name('*')}")
        return sorted(unit.stem.removeprefix("kilonova-") for unit in units)


def unit_name(program: str) -> str:
    """The unit of a program."""
    return f"kilonova-{program}.service"


def unit_text(program: Program, paths: Paths) -> str:
    """Our daemons' units come from `deploy/systemd`, with this cloud's command and folders."""
    ours = UNITS / unit_name(program.name)
    command = shlex.join(program.command)
    if not ours.exists():
        return generated(program, command)
    lines = [
        f"ExecStart={command}" if line.startswith("ExecStart=") else line
        for line in ours.read_text().splitlines()
    ]
    return "\n".join(lines) + "\n"


def generated(program: Program, command: str) -> str:
    """A plain unit for a backend."""
    environment = "".join(
        f"Environment={shlex.quote(f'{name}={value}')}\n"
        for name, value in program.environment.items()
    )
    user = f"User={program.user}\n" if program.user else ""
    return (
        "# SPDX-License-Identifier: Apache-2.0\n"
        f"[Unit]\nDescription={program.name} of kilonova\nPartOf=kilonova.target\n\n"
        f"[Service]\nExecStart={command}\n{user}{environment}"
        f"KillSignal={program.stop_signal}\nTimeoutStopSec={program.stop_grace_s}\n"
        # /run is empty after a boot
        f"RuntimeDirectory=kilonova/{program.name}\nRuntimeDirectoryPreserve=yes\n"
        f"StandardOutput=append:{program.log}\nStandardError=inherit\n"
        "Restart=always\nRestartSec=1\n\n[Install]\nWantedBy=kilonova.target\n"
    )

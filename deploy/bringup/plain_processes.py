# SPDX-License-Identifier: Apache-2.0
"""Programs below keepers: what runs a cloud where systemd is not PID 1."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from deploy.bringup import daemon_user, keeper
from deploy.bringup.failures import Failed
from deploy.bringup.paths import Paths, write
from deploy.bringup.program import Kept, Program

_KEEPER = Path(keeper.__file__)
_STARTS_WITHIN_S = 10.0


class PlainProcesses:
    """Starts, stops and finds programs; each has a keeper whose files are in one folder."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._folder = paths.run / "programs"

    def prepare(self) -> None:
        """Make the folder, and the daemons' user where it can reach what it has to run."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.closed_folder() is None:
            daemon_user.ensure(self._paths.tag, self._paths)

    def closed_folder(self) -> Path | None:
        """What keeps the daemons' user from code or state, so that root runs them; or None."""
        python = self._paths.venv / "bin" / "python"
        return daemon_user.closed_folder(
            self._paths.state, self._paths.venv, python.resolve().parent, *self._sources()
        )

    def _sources(self) -> list[Path]:
        """Where an environment that was not copied has its code."""
        found = self._paths.venv.glob("lib/python3*/site-packages/__editable__*.pth")
        return [Path(line) for file in found for line in file.read_text().split("\n")
                if line.startswith("/")]  # fmt: skip

    def user(self, *, needs_root: bool) -> str:
        """The daemons' user where there can be one and it suffices."""
        return "" if needs_root or self.closed_folder() is not None else self._paths.tag

    def hand_over(self, files: Sequence[Path]) -> None:
        """Let the daemons' user read the files."""
        if self.closed_folder() is None:
            daemon_user.hand_over(self._paths.tag, files)

    def start(self, program: Program) -> bool:
        """See to it that the program is kept as described; whether it had to be (re)started."""
        fingerprint = program.fingerprint()
        known = self.state(program.name)
        if known.is_kept and known.fingerprint == fingerprint:
            return False
        if known.is_kept:
            self.stop(program.name)
        self._end_orphan(program.name)
        # What it says is of the past, and would pass for the new program's.
        self._file(program.name, "state").unlink(missing_ok=True)
        specification = self._file(program.name, "json")
        write(specification, json.dumps(asdict(program) | {"fingerprint": fingerprint}), 0o600)
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), str(specification)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints(),
            start_new_session=True,
            cwd="/",
        )
        self._wait(lambda: self.state(program.name).is_kept, _STARTS_WITHIN_S, program.name)
        return True

    def stop(self, name: str) -> bool:
        """Stop program and keeper; returns when both are gone. Whether there was anything."""
        known = self.state(name)
        if not known.is_kept:
            return self._end_orphan(name)
        specification = json.loads(self._file(name, "json").read_text())
        state = json.loads(self._file(name, "state").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(state["keeper"], signal.SIGTERM)
        patience_s = specification["stop_grace_s"] + 10.0
        self._wait(lambda: not self._is_locked(name), patience_s, name)
        return True

    def has(self, name: str) -> bool:
        """Whether the program runs, kept or left behind by a keeper that was killed."""
        return self.state(name).is_kept or self._orphan(name) != 0

    def _orphan(self, name: str) -> int:
        """The process that a killed keeper left; 0 when there is none."""
        try:
            state = json.loads(self._file(name, "state").read_text())
        except (OSError, ValueError):
            return 0
        is_it = state["pid"] and keeper.started_at(state["pid"]) == state.get("started_at")
        return int(state["pid"]) if is_it and not self._is_locked(name) else 0

    def _end_orphan(self, name: str) -> bool:
        """End it; the keeper's end has told it to stop already."""
        pid = self._orphan(name)
        if not pid:
            return False
        specification = json.loads(self._file(name, "json").read_text())
        with contextlib.suppress(Failed):
            self._wait(lambda: not self._orphan(name), specification["stop_grace_s"], name)
            return True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return True

    def forget(self, name: str) -> None:
        """Stop a program and remove what says how to run it."""
        self.stop(name)
        for suffix in ("json", "state", "lock"):
            self._file(name, suffix).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the daemons' user; the folder goes with the cloud's others."""
        daemon_user.remove(self._paths.tag)

    def state(self, name: str) -> Kept:
        """What is known of a program."""
        if not self._is_locked(name):
            return Kept()
        try:
            state = json.loads(self._file(name, "state").read_text())
        except (OSError, ValueError):
            return Kept()
        return Kept(
            pid=state["pid"],
            restarts=state["restarts"],
            last_exit=state["last_exit"],
            fingerprint=state["fingerprint"],
            is_kept=True,
        )

    def names(self) -> list[str]:
        """Programs that were started here and not forgotten."""
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def _file(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"

    def _complaints(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._folder / "keepers.log", flags, 0o600)

    def _is_locked(self, name: str) -> bool:
        file = self._file(name, "lock")
        if not file.exists():
            return False
        with file.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _wait(self, condition: Callable[[], bool], within_s: float, name: str) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"The keeper of {name} does not react; see {self._folder}/keepers.log")
            time.sleep(0.02)

# SPDX-License-Identifier: Apache-2.0
"""Keeps one program running where there is no systemd: `keeper.py SPECIFICATION`.

It restarts the program when it ends, sooner at first and later when that happens often. SIGTERM
stops both. A lock shows that a keeper lives, a file beside it what it keeps. Orphans of the program
become the keeper's children, so that they are buried at once and can be ended with it.

A log that grows too long is moved aside: its content is copied and the file emptied, as the program
keeps it open.

It stands alone: it is started by path and imports nothing of ours.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 20.0
_SETTLED_AFTER_S = 10.0
_REST_GRACE_S = 3.0
_LOG_BYTES, _OLD_LOGS, _LOG_LOOK_S = 20 << 20, 3, 10.0


class Keeper:
    """One program's keeper."""

    def __init__(self, specification: Path) -> None:
        self._spec: dict[str, Any] = json.loads(specification.read_text())
        self._state_file = specification.with_suffix(".state")
        self._child = 0
        self._started = 0.0
        self._restarts = 0
        self._last_exit: int | None = None
        self._stopping = threading.Event()
        # Held while a log is moved: a program is started while the other thread sleeps.
        self._rotating = threading.Lock()

    def run(self) -> None:
        """Until SIGTERM."""
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._kill)
        threading.Thread(target=self._watch_log, daemon=True).start()
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            with self._rotating:
                self._start()
            self._wait()
            if self._spec["ends_descendants"]:
                end_children()
            if time.monotonic() - self._started >= _SETTLED_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self._record()
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self._restarts += 1
        self._state_file.unlink(missing_ok=True)

    def _start(self) -> None:
        spec = self._spec
        account = pwd.getpwnam(spec["user"]) if spec["user"] else None
        with open(spec["log"], "ab") as log:
            process = subprocess.Popen(
                spec["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | spec["environment"],
                start_new_session=True,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=_end_with_keeper,  # noqa: PLW1509 - the other thread sleeps
            )
        self._child, self._started = process.pid, time.monotonic()
        process.returncode = 0  # buried below; Popen shall not try
        self._record()
        if self._stopping.is_set():
            self._stop()

    def _watch_log(self) -> None:
        while True:
            time.sleep(_LOG_LOOK_S)
            with self._rotating, contextlib.suppress(OSError):
                rotate(Path(self._spec["log"]), most_bytes=_LOG_BYTES, keep=_OLD_LOGS)

    def _wait(self) -> None:
        """Bury whoever ends, until it is the program itself."""
        while True:
            pid, status = os.wait()
            if pid == self._child:
                self._last_exit = os.waitstatus_to_exitcode(status)
                self._child = 0
                signal.alarm(0)
                return

    def _stop(self, *_: object) -> None:
        self._stopping.set()
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, getattr(signal, self._spec["stop_signal"]))
            signal.alarm(self._spec["stop_grace_s"])

    def _kill(self, *_: object) -> None:
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child, signal.SIGKILL)

    def _record(self) -> None:
        state = {
            "keeper": os.getpid(),
            "pid": self._child,
            "started_at": started_at(self._child),
            "restarts": self._restarts,
            "last_exit": self._last_exit,
            "fingerprint": self._spec["fingerprint"],
        }
        fresh = self._state_file.with_suffix(".fresh")
        fresh.write_text(json.dumps(state))
        fresh.replace(self._state_file)


def rotate(log: Path, *, most_bytes: int, keep: int) -> bool:
    """Empty a log longer than `most_bytes`, keeping `keep` old ones; whether it was.

    What is written between copy and truncation is lost: a line at most, once in many megabytes.
    """
    if log.stat().st_size <= most_bytes:
        return False
    names = [log.with_name(f"{log.name}.{number}") for number in range(1, keep + 1)]
    for number in range(keep - 1, 0, -1):
        if names[number - 1].exists():
            names[number - 1].replace(names[number])
    shutil.copy2(log, names[0])
    os.truncate(log, 0)
    return True


def started_at(pid: int) -> str:
    """When a process started, in ticks since boot; tells it from a later one of the same id."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _end_with_keeper() -> None:
    """A killed keeper must not leave a program that nobody keeps."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end_children() -> None:
    """End every child of this process, politely at first; returns when none is left."""
    deadline = time.monotonic() + _REST_GRACE_S
    number = signal.SIGTERM
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.05)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            number = signal.SIGKILL


def _children() -> list[int]:
    return [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def main() -> int:
    """The command; 1 when another keeper has the program already."""
    specification = Path(sys.argv[1])
    with specification.with_suffix(".lock").open("w") as lock:
        if not taken(lock.fileno()):
            return 1
        Keeper(specification).run()
    return 0


def taken(lock: int) -> bool:
    """Take the lock. One that is only held for a moment belongs to somebody who looks."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`deploy/test`: install what the tests need, then become pytest.

Tests start servers of their own in temporary folders; a cloud of `deploy/up` is not touched.
"""

import os
import sys
from collections.abc import Sequence

from deploy.bringup import packages, virtual_env
from deploy.bringup.failures import Failed
from deploy.bringup.paths import REPOSITORY
from deploy.bringup.progress import Progress

_VENV = REPOSITORY / ".venv"
# Two cores: while one process waits for its servers, others compute.
_PROCESSES = "3"


def test(arguments: Sequence[str], progress: Progress) -> None:
    """Does not return: the exit code is pytest's. Raises: Failed."""
    wanted = (*packages.BASE, *packages.LIBVIRT, *packages.TESTS)
    with progress.step("Debian packages") as step:
        lacking = packages.missing(wanted)
        if lacking and os.geteuid() != 0:
            raise Failed(f"Install these, or run this as root: {' '.join(lacking)}")
        packages.install(wanted)
        step.note(f"{len(lacking)} installed" if lacking else "all there")
    with progress.step("Python environment") as step:
        stamp = _VENV / ".kilonova-stamp"
        fresh = virtual_env.ensure(_VENV, stamp, extras=["dev", "libvirt"])
        step.note("installed" if fresh else "all there")
    sys.stdout.flush()
    os.chdir(REPOSITORY)
    pytest = str(_VENV / "bin" / "pytest")
    shared = () if _is_for_one_process(arguments) else ("-n", _PROCESSES)
    os.execv(pytest, [pytest, *shared, *arguments])


def _is_for_one_process(arguments: Sequence[str]) -> bool:
    """Somebody who looks at a test, or says how many processes there shall be."""
    return any(
        word in ("-s", "--pdb", "-n", "--collect-only", "--co") or "::" in word or word[:2] == "-n"
        for word in arguments
    )

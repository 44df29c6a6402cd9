# SPDX-License-Identifier: Apache-2.0
"""`deploy/down`: stop a cloud; with `purge`, remove all that `up` made.

Debian packages stay: others may use them by now.
"""

import re
import shutil
from pathlib import Path

from deploy.bringup.cloud import Cloud, settings_file
from deploy.bringup.commands import succeeds
from deploy.bringup.failures import Failed
from deploy.bringup.paths import Paths
from deploy.bringup.progress import Progress
from deploy.bringup.up import ASKED

_BACKENDS = ("libvirt", "rabbitmq", "postgresql")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # as the kernel writes spaces, for one


def down(paths: Paths, *, purge: bool, progress: Progress) -> None:
    """Stop daemons, then guests, then backends. Again: what is gone is passed over."""
    if not settings_file(paths).exists():
        if purge:
            _remove_folders(paths)
        print(f"There is no cloud in {paths.state}.")
        return
    cloud = Cloud.known(paths)
    names = cloud.runner.names()
    daemons = [name for name in names if name not in _BACKENDS]
    with progress.step("Stop the daemons"):
        cloud.stop([name for name in daemons if name not in ASKED])
        cloud.stop([name for name in daemons if name in ASKED])
    if purge and cloud.settings.has_guests:
        with progress.step("Remove networks"):
            _remove_networks(cloud)
    if cloud.settings.has_guests:
        with progress.step("Stop guests"):
            cloud.libvirt.stop_guests()
            if purge:
                cloud.libvirt.forget_guests()
    with progress.step("Stop " + ", ".join(name for name in _BACKENDS if name in names)):
        cloud.stop([name for name in names if name in _BACKENDS])
    if cloud.settings.has_guests:
        cloud.libvirt.end_log_daemon()
        if cloud.libvirt.is_private:
            cloud.uplink.remove()
    if purge:
        with progress.step("Remove everything that was made"):
            for name in names:
                cloud.runner.forget(name)
            if cloud.settings.has_guests:
                cloud.libvirt.remove()
            cloud.runner.remove()
            _remove_folders(paths)


def _remove_networks(cloud: Cloud) -> None:
    """The companion knows what it made; without its program the namespace goes anyway."""
    files = cloud.daemons.config_files("companion")
    options = [word for file in files for word in ("--config-file", str(file))]
    program = cloud.paths.venv / "bin" / "kilonova-companion"
    if not succeeds(program, "purge-network", *options, timeout_s=60) and (
        not cloud.settings.namespace
    ):
        raise Failed("kilonova-companion purge-network failed; run it by hand to see why")


def _unmount_below(state: Path) -> None:
    """Unmount what is mounted for guests: or removing the folder removes what is on shares.

    Raises: Failed.
    """
    for folder in _mounts_below(state):
        # lazily: its server may be gone
        succeeds("umount", "--lazy", str(folder))
    if left := _mounts_below(state):
        raise Failed(f"{left[0]} cannot be unmounted; nothing below {state} was removed")


def _mounts_below(state: Path) -> list[Path]:
    """What lies on others first."""
    below = state.resolve()  # as the kernel names it
    lines = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    points = [Path(_ESCAPED.sub(_unescaped, line.split()[1])) for line in lines]
    return [point for point in reversed(points) if point.is_relative_to(below)]


def _unescaped(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def _remove_folders(paths: Paths) -> None:
    _unmount_below(paths.state)
    for folder in (paths.run, paths.etc, paths.log, paths.state):
        shutil.rmtree(folder, ignore_errors=True)
    if paths.prefix is not None and paths.prefix.is_dir() and not any(paths.prefix.iterdir()):
        paths.prefix.rmdir()

# SPDX-License-Identifier: Apache-2.0
"""`deploy/down --purge` removes what is a cloud's, and nothing that is mounted for its guests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bringup.down import down
from deploy.bringup.paths import Paths
from deploy.bringup.progress import Progress
from tests import ours

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = ours.folder("down")
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("way", ["as it is", "by a link"])
def test_what_is_on_a_mounted_share_stays(folder: Path, way: str) -> None:
    var, share = folder / "var with spaces", folder / "share"
    mounted = var / "lib" / "compute" / "shares" / "of a guest"
    for path in (mounted, share):
        path.mkdir(parents=True)
    (share / "kept").touch()
    if way == "by a link":
        (folder / "link").symlink_to(var)
        var = folder / "link"
    subprocess.run(["mount", "--bind", share, mounted], check=True)
    try:
        paths = Paths(None, var / "etc", var / "lib", var / "log", var / "run", var / "venv")
        down(paths, purge=True, progress=Progress())

        assert not paths.state.exists()
        assert (share / "kept").exists()
    finally:
        subprocess.run(["umount", "--quiet", mounted], check=False)

# SPDX-License-Identifier: Apache-2.0
"""An operator's shell: runs `kilonova` with credentials of a test's cloud."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

KILONOVA = Path(sys.executable).parent / "kilonova"


class Shell:
    """An operator's shell with credentials."""

    def __init__(self, cloud: Any, user: str) -> None:
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("OS_")},
            "OS_AUTH_URL": f"http://127.0.0.1:{cloud.ports['companion']}/identity/v3",
            "OS_USERNAME": user,
            "OS_PASSWORD": cloud.passwords[user],
            "OS_PROJECT_NAME": user,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "RegionOne",
            "HOME": str(cloud.folder),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [KILONOVA, *arguments], env=self.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    def data(self, *arguments: str) -> Any:
        """What a command that succeeds says as JSON."""
        done = self.run(*arguments, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str) -> tuple[int, str]:
        """Exit code and the one line that a command leaves on standard error."""
        done = self.run(*arguments)
        (line,) = done.stderr.splitlines()
        return done.returncode, line

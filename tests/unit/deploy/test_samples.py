# SPDX-License-Identifier: Apache-2.0
"""The sample files in `etc/kilonova`. `deploy/samples` writes them anew."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bringup.paths import REPOSITORY

_SAMPLES = REPOSITORY / "etc" / "kilonova"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run(
        [REPOSITORY / "deploy" / "samples", folder],
        check=True, capture_output=True, timeout=100,
        env=os.environ | {"KILONOVA_VENV": sys.prefix},
    )  # fmt: skip
    return folder


def _settings(file: Path) -> list[str]:
    """Groups, options and rules; not the help, whose words some libraries change."""
    lines = file.read_text().splitlines()
    return [line for line in lines if re.match(r'\[|#[a-z0-9_]+ = |#?"', line)]


@pytest.mark.parametrize("name", ["kilonova.conf.sample", "policy.yaml.sample"])
def test_a_sample_shows_every_option_and_rule_as_it_is(fresh: Path, name: str) -> None:
    assert _settings(_SAMPLES / name) == _settings(fresh / name)


def test_the_sample_configuration_says_nothing_of_this_machine() -> None:
    assert "#host = <host name>" in (_SAMPLES / "kilonova.conf.sample").read_text().splitlines()

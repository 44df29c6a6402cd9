# SPDX-License-Identifier: Apache-2.0
"""A browser without a screen, for pages that kilonova serves."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

from tests import ours

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1024,768",
)  # fmt: skip


def is_there() -> bool:
    """Whether this machine has one."""
    return shutil.which(CHROMIUM) is not None and shutil.which(DRIVER) is not None


@contextmanager
def browser() -> Iterator[WebDriver]:
    """A fresh browser, gone after the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory(prefix="kn-chromium-") as profile:
        ours.note(Path(profile).name)
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        started = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield started
        finally:
            started.quit()

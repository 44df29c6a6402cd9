# SPDX-License-Identifier: Apache-2.0
"""Consoles of a real QEMU guest, as its user opens them: in a browser, and in a terminal."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import openstack
import pytest
import requests
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.functional.rabbitmq import wait_until
from tests.integration import browser
from tests.integration.deployed import Deployed, deployed
from tests.integration.test_real_guest import BOOT_S, console, wait_for_console

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up needs root"),
]
needs_browser = pytest.mark.skipif(
    not browser.is_there(), reason="chromium and its driver are not installed"
)
_BIN = Path(sys.executable).parent
# A page's canvas, summed up: how many pixels are lit, and a number that any change changes.
_LOOK = """
    const canvas = document.querySelector(arguments[0]);
    if (!canvas || !canvas.width) return null;
    const pixels = new Uint32Array(
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    let lit = 0, sum = 0;
    for (const pixel of pixels) {
        if (pixel & 0xffffff) lit++;
        sum = (sum * 31 + pixel) >>> 0;
    }
    return {lit: lit, sum: sum, of: pixels.length};
"""


@pytest.fixture(scope="module", name="deployed")
def _deployed() -> Iterator[Deployed]:
    with deployed("--driver", "libvirt") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def user(deployed: Deployed) -> openstack.connection.Connection:
    return deployed.connect()


@pytest.fixture(scope="module")
def server(user: openstack.connection.Connection) -> str:
    made = user.create_server(
        "guest", flavor="m1.nano", image="guest", network="private", wait=True, timeout=60
    )
    wait_for_console(user, made.id, "login: ")  # on its screen, too
    return str(made.id)


@pytest.fixture(scope="module")
def environment(deployed: Deployed) -> dict[str, str]:
    """A user's shell."""
    return os.environ | {
        "OS_CLIENT_CONFIG_FILE": deployed.status()["clouds_yaml"], "OS_CLOUD": "kilonova",
    }  # fmt: skip


@pytest.fixture(scope="module")
def url(environment: dict[str, str], server: str) -> Any:
    """The URL of a console, as the stock client shows it."""

    def ask(kind: str) -> str:
        command = [_BIN / "openstack", "console", "url", "show", kind, server, "-f", "value"]
        done = subprocess.run(
            [*command, "-c", "url"], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return ask


def until_says(client: ClientConnection, text: bytes, *, within_s: float = 30) -> bytes:
    """What a console says until it has said `text`."""
    said, deadline = b"", time.monotonic() + within_s
    while text not in said:
        try:
            said += client.recv(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise AssertionError(f"not said: {text!r}, but {said!r}") from None
    return said


class Screen:
    """What a page in a browser shows of the guest's screen, on its canvas."""

    def __init__(self, page: WebDriver, canvas: str) -> None:
        self._page, self._canvas = page, canvas

    def look(self) -> dict[str, int]:
        """How its pixels are; no number of them while the page has no canvas."""
        found = self._page.execute_script(_LOOK, self._canvas)
        return cast("dict[str, int]", found or {"lit": 0, "sum": 0, "of": 0})

    def png(self) -> bytes:
        return self._page.find_element(By.CSS_SELECTOR, self._canvas).screenshot_as_png

    def type(self, text: str) -> None:
        canvas = self._page.find_element(By.CSS_SELECTOR, self._canvas)
        ActionChains(self._page).click(canvas).send_keys(text).perform()


def sees_and_types(screen: Screen, folder: Path) -> None:
    """There is text on the screen, and what is typed there changes it."""
    wait_until(lambda: screen.look()["lit"] > 1000, "there is text on the screen", timeout_s=60)
    before, first = screen.look(), screen.png()

    screen.type("root\n")
    wait_until(
        lambda: abs(screen.look()["lit"] - before["lit"]) > 100,  # more than a cursor that blinks
        "what was typed, and what the guest says to it, are on the screen", timeout_s=60,
    )  # fmt: skip
    after, second = screen.look(), screen.png()
    (folder / "before.png").write_bytes(first)
    (folder / "after.png").write_bytes(second)

    assert 0 < before["lit"] < before["of"]
    assert before["sum"] != after["sum"]
    assert first != second


def qemu_has_spice() -> bool:
    asked = subprocess.run(
        ["qemu-system-x86_64", "-spice", "help"], capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    return "spice options" in asked.stdout + asked.stderr


@needs_browser
def test_a_browser_shows_the_guests_screen_and_types_at_its_login_prompt(
    url: Any, tmp_path: Path
) -> None:
    with browser.browser() as page:
        page.get(url("--novnc"))
        wait_until(lambda: "Connected to" in page.find_element(By.ID, "status").text,
                   "the page says that it is connected", timeout_s=60)  # fmt: skip
        assert page.title == "noVNC"

        sees_and_types(Screen(page, "#screen canvas"), tmp_path)


@needs_browser
def test_a_browser_shows_the_guests_screen_by_spice_and_types(
    server: str, url: Any, tmp_path: Path
) -> None:
    if not qemu_has_spice():  # only once deploy/up has installed it
        pytest.skip("QEMU has no SPICE: qemu-system-modules-spice is not installed")
    with browser.browser() as page:
        page.get(url("--spice"))
        assert page.title == "Spice Javascript client"

        sees_and_types(Screen(page, "#spice-screen canvas"), tmp_path)


def test_the_serial_console_shows_a_login_prompt_and_echoes(url: Any) -> None:
    with connect(url("--serial"), compression=None) as client:
        client.send(b"\r")
        until_says(client, b"login: ")
        client.send(b"root\r")
        until_says(client, b"assword: ")
        client.send(b"guest\r")
        until_says(client, b"# ")
        client.send(b"echo $((6 * 7))-and-more\r")
        said = until_says(client, b"42-and-more")
        client.send(b"exit\r")
        until_says(client, b"login: ")

    assert b"echo $((6 * 7))-and-more" in said


def test_what_was_said_on_the_serial_console_is_in_its_log(user: Any, server: str) -> None:
    assert "42-and-more" in console(user, server)


def test_the_command_line_opens_the_serial_console(
    environment: dict[str, str], server: str
) -> None:
    mine, terminal = os.openpty()
    process = subprocess.Popen(
        [_BIN / "kilonova", "console", "guest"], env=environment, stdin=terminal, stdout=terminal,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"Connected to guest. Ctrl-] leaves.\r\n"
        os.write(mine, b"\r")
        said, deadline = b"", time.monotonic() + 30
        while b"login: " not in said:
            assert select.select([mine], [], [], deadline - time.monotonic())[0], said
            said += os.read(mine, 4096)
        os.write(mine, b"\x1d")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(mine)
        os.close(terminal)


@pytest.mark.parametrize("kind", ["--novnc", "--spice"])
def test_a_wrong_token_is_explained_in_the_browser(url: Any, kind: str) -> None:
    good = url(kind)
    bad = good[:-1] + ("x" if good[-1] != "x" else "y")

    answer = requests.get(bad, headers={"Accept": "text/html"}, timeout=30)

    assert answer.status_code == 403
    assert "has expired" in answer.text
    assert requests.get(good, timeout=30).status_code == 200


def test_a_page_of_another_site_opens_nothing(url: Any) -> None:
    found = urlsplit(url("--serial"))
    headers = {"Origin": "http://evil.example"}

    with pytest.raises(InvalidStatus), connect(found.geturl(), additional_headers=headers):
        pass


def test_a_console_ends_with_its_guest_and_its_url_with_the_guests_start(
    user: Any, url: Any, server: str
) -> None:
    before = url("--serial")
    with connect(before, compression=None) as client:
        user.compute.stop_server(server)
        found = user.compute.get_server(server)
        user.compute.wait_for_server(found, status="SHUTOFF", wait=90, interval=0.5)
        with contextlib.suppress(ConnectionClosed):
            while True:
                client.recv(timeout=10)
        assert client.close_reason == "the console was closed"
    with pytest.raises(InvalidStatus):
        connect(before)
    with pytest.raises(openstack.exceptions.ConflictException, match="is not ready"):
        user.compute.create_console(server, "serial")

    user.compute.start_server(server)
    user.compute.wait_for_server(found, status="ACTIVE", wait=60, interval=0.5)
    with connect(url("--serial"), compression=None) as client:
        until_says(client, b"GUEST ready", within_s=BOOT_S)


def test_deletion_ends_every_console(user: Any, url: Any, server: str) -> None:
    screen, serial = url("--novnc"), url("--serial")

    user.delete_server(server, wait=True, timeout=60)

    assert requests.get(screen, timeout=30).status_code == 403
    with pytest.raises(InvalidStatus):
        connect(serial)

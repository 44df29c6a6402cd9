# SPDX-License-Identifier: Apache-2.0
"""kilonova-console and real QEMUs whose screens are behind TLS."""

import contextlib
import dataclasses
import shutil
import socket
import subprocess

import pytest
from websockets.exceptions import ConnectionClosed

from common.objects.console import ConsoleAddress
from tests.functional.console.conftest import Guest, proxy_with
from tests.functional.rabbitmq import wait_until
from tests.integration.certificates import Authority
from tests.ports import free_ports

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="there is no QEMU"),
]
VERSION = b"RFB 003.008\n"


@dataclasses.dataclass
class Screen:
    """A QEMU without a machine: its screen says so."""

    address: ConsoleAddress


@contextlib.contextmanager
def qemu(pki=None):
    """QEMU; with a folder of certificates its screen is behind TLS, for those who have one."""
    [port] = free_ports(1)
    display = f"127.0.0.1:{port - 5900}"
    command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none"]
    if pki is not None:
        credentials = f"tls-creds-x509,id=tls,dir={pki},endpoint=server,verify-peer=on"
        command += ["-object", credentials, "-vnc", f"{display},tls-creds=tls"]
    else:
        command += ["-vnc", display]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield Screen(ConsoleAddress(host="127.0.0.1", port=port))
    finally:
        process.kill()
        process.wait(20)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Makes folders of certificates by name; those of one authority know one another."""
    folder = tmp_path_factory.mktemp("pki")
    authorities = {}

    def make(name, authority="ours"):
        if authority not in authorities:
            (folder / authority).mkdir()
            authorities[authority] = Authority(folder / authority)
        if not (folder / f"{authority}-{name}").exists():
            authorities[authority].issue("127.0.0.1", folder / f"{authority}-{name}")
        return folder / f"{authority}-{name}"

    return make


@pytest.fixture(scope="module")
def make_proxy(place, pages, transport_url, pki, tmp_path_factory):
    """Makes daemons that take screens of these schemes."""
    with contextlib.ExitStack() as stack:

        def make(schemes):
            keys = pki("console")
            options = (
                f"[vnc]\nauth_schemes = {schemes}\nvencrypt_client_key = {keys}/client-key.pem\n"
                f"vencrypt_client_cert = {keys}/client-cert.pem\n"
                f"vencrypt_ca_certs = {keys}/ca-cert.pem\n[console]"
            )
            folder = tmp_path_factory.mktemp("console")
            return stack.enter_context(proxy_with(options, pages, transport_url, folder))

        yield make


@pytest.fixture(scope="module")
def strict(make_proxy):
    return make_proxy("vencrypt")


@pytest.fixture(scope="module")
def tolerant(make_proxy):
    return make_proxy("vencrypt,none")


def see(proxy, place, guest):
    """What a client of VNC is shown of a guest's screen: its name."""
    received = bytearray()
    with proxy.open(place.token(place.boot(guest))) as client:

        def read(count):
            while len(received) < count:
                received.extend(client.recv(timeout=20))
            found = bytes(received[:count])
            del received[:count]
            return found

        assert read(12) == VERSION
        client.send(VERSION)
        assert read(2) == b"\x01\x01"
        # together with what comes next, as a client may
        client.send(b"\x01\x01")
        assert read(4) == bytes(4)
        length = int.from_bytes(read(24)[20:])
        return read(length).decode()


def refusal(proxy, place, guest):
    """Why a client is turned away."""
    with proxy.open(place.token(place.boot(guest))) as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=20)
        return closed.value.rcvd.reason


def answers(screen):
    """Whether QEMU listens already."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((screen.address.host, screen.address.port), timeout=5),
    ):
        return True
    return False


@contextlib.contextmanager
def listening(pki=None):
    with qemu(pki) as screen:
        wait_until(lambda: answers(screen), "QEMU listens")
        yield screen


def test_a_screen_behind_tls_is_shown(strict, place, pki):
    with listening(pki("host")) as screen:
        assert see(strict, place, screen).startswith("QEMU")


def test_a_screen_without_tls_is_shown_only_where_that_is_allowed(strict, tolerant, place):
    with listening() as screen:
        assert see(tolerant, place, screen).startswith("QEMU")
        assert "could not be opened safely" in refusal(strict, place, screen)
    assert "offers security types [1]" in strict.log()


def test_a_screen_that_an_unknown_authority_certifies_is_not_shown(strict, place, pki):
    with listening(pki("host", "theirs")) as screen:
        assert "could not be opened safely" in refusal(strict, place, screen)
    assert "CERTIFICATE_VERIFY_FAILED" in strict.log()


def test_what_speaks_no_vnc_is_not_shown(strict, place):
    other = Guest(greeting=b"SSH-2.0-something\r\n")
    try:
        assert "could not be opened safely" in refusal(strict, place, other)
    finally:
        other.close()


def test_certificates_that_are_missing_keep_it_from_starting(
    place, pages, transport_url, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("console")
    options = "[vnc]\nauth_schemes = vencrypt\nvencrypt_ca_certs = /nowhere\n[console]"

    with proxy_with(options, pages, transport_url, folder, healthy=False) as proxy:
        assert proxy.process.process.wait(timeout=20) == 1

    assert "vencrypt_ca_certs /nowhere" in proxy.log()

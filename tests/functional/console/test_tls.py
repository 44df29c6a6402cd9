# SPDX-License-Identifier: Apache-2.0
"""kilonova-console with a certificate of its own."""

import socket
import ssl
import subprocess

import pytest
import requests
from websockets.exceptions import InvalidHandshake

from tests.functional.console.conftest import PAGE, proxy_with

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself: (its file, that of its key)."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=console",
        "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def proxy(place, pages, transport_url, certificate, tmp_path_factory):
    cert, key = certificate
    options = f"cert = {cert}\nkey = {key}\nssl_minimum_version = tlsv1_3"
    folder = tmp_path_factory.mktemp("console")
    with proxy_with(options, pages, transport_url, folder, scheme="wss") as made:
        yield made


def test_pages_and_consoles_are_behind_tls(proxy, place, server, certificate):
    page = requests.get(proxy.at(scheme="https") + "/vnc_lite.html", verify=certificate[0])
    context = ssl.create_default_context(cafile=certificate[0])

    assert page.content == PAGE
    with proxy.open(place.token(server), ssl=context) as client:
        assert client.recv(timeout=10) == b"RFB 003.008\n"


def test_a_client_that_does_not_trust_the_certificate_gives_nothing_away(proxy, place, server):
    with pytest.raises(ssl.SSLCertVerificationError):
        proxy.open(place.token(server), ssl=ssl.create_default_context()).close()


def test_older_versions_of_tls_and_no_tls_are_refused(proxy, certificate):
    old = ssl.create_default_context(cafile=certificate[0])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    address = ("127.0.0.1", proxy.ports["novnc"])
    with (
        socket.create_connection(address, timeout=20) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")

    with pytest.raises((requests.ConnectionError, InvalidHandshake)):
        requests.get(proxy.at(scheme="http") + "/vnc_lite.html", timeout=20)


@pytest.mark.parametrize("cert", ["/nonexistent", "/etc/hostname"])
def test_a_certificate_that_cannot_be_used_keeps_it_from_starting(
    cert, pages, transport_url, tmp_path
):
    options = f"cert = {cert}"
    with proxy_with(options, pages, transport_url, tmp_path, healthy=False) as proxy:
        assert proxy.process.process.wait(timeout=20) == 1

    assert f"[console] cert {cert}" in proxy.log()

# SPDX-License-Identifier: Apache-2.0
"""Certificates by which hosts know one another, where libvirt and QEMU look for them."""

import shutil
import subprocess
from pathlib import Path

_NEW = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2")  # fmt: skip


class Authority:
    """Signs hosts' certificates; keeps its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._key, self._certificate = folder / "key.pem", folder / "cert.pem"
        _run(
            *_NEW, "-subj", "/CN=tests", "-keyout", self._key, "-out", self._certificate,
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(self, address: str, folder: Path) -> None:
        """Write a host's certificate, for both ends of a connection, and the authority's own."""
        folder.mkdir(mode=0o700)
        key, certificate = folder / "serverkey.pem", folder / "servercert.pem"
        _run(
            *_NEW, "-subj", f"/CN={address}", "-keyout", key, "-out", certificate,
            "-CA", self._certificate, "-CAkey", self._key,
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature,keyEncipherment",
            "-addext", "extendedKeyUsage=serverAuth,clientAuth",
            "-addext", f"subjectAltName=IP:{address}",
        )  # fmt: skip
        # libvirt has them by the first of these names, QEMU by the second.
        for name in ("clientkey.pem", "server-key.pem", "client-key.pem"):
            shutil.copy(key, folder / name)
        for name in ("clientcert.pem", "server-cert.pem", "client-cert.pem"):
            shutil.copy(certificate, folder / name)
        for name in ("cacert.pem", "ca-cert.pem"):
            shutil.copy(self._certificate, folder / name)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)

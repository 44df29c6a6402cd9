# SPDX-License-Identifier: Apache-2.0
"""Keys: making an RSA key pair, and reading what users import.

Fingerprints are the API's: MD5 over the key for ssh, SHA-1 over the certificate for x509, in pairs
of hex digits with colons between.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from common.errors import InvalidKeypair

_RSA_BITS = 2048
_COMMENT = "Generated-by-kilonova"


@dataclass(frozen=True)
class KeyMaterial:
    """A public key and its fingerprint, with the private key where we made the pair."""

    public_key: str
    fingerprint: str
    private_key: str | None = None


def generate_ssh() -> KeyMaterial:
    """A new RSA pair: OpenSSH public key, PEM private key."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    text = f"{public.decode()} {_COMMENT}"
    return KeyMaterial(text, ssh_fingerprint(text), pem.decode())


def read_public_key(text: str, kind: str) -> KeyMaterial:
    """What a user imports, checked. Raises: InvalidKeypair."""
    if kind == "x509":
        return KeyMaterial(text, x509_fingerprint(text))
    return KeyMaterial(text, ssh_fingerprint(text))


def ssh_fingerprint(text: str) -> str:
    """MD5 fingerprint of an OpenSSH public key. Raises: InvalidKeypair."""
    parts = text.split(maxsplit=2)
    try:
        blob = base64.b64decode(parts[1], validate=True)
        serialization.load_ssh_public_key(" ".join(parts[:2]).encode())
    except UnsupportedAlgorithm as unsupported:
        raise InvalidKeypair(reason="the key's type is not supported") from unsupported
    except (IndexError, ValueError, binascii.Error) as broken:
        raise InvalidKeypair(reason="failed to generate fingerprint") from broken
    return _colons(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def x509_fingerprint(text: str) -> str:
    """SHA-1 fingerprint of a PEM certificate. Raises: InvalidKeypair."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except ValueError as broken:
        raise InvalidKeypair(reason="failed to generate X509 fingerprint") from broken
    der = certificate.public_bytes(serialization.Encoding.DER)
    return _colons(hashlib.sha1(der, usedforsecurity=False).hexdigest())


def _colons(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))

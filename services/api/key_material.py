# SPDX-License-Identifier: Apache-2.0
"""Keys: making RSA key pairs, as they are or certified, and reading what users import.

Fingerprints are the API's: MD5 over the key for ssh, SHA-1 over the certificate for x509, in pairs
of hex digits with colons between.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidKeypair

_RSA_BITS = 2048
_COMMENT = "Generated-by-kilonova"
_CERTIFIED_FOR = timedelta(days=3650)
# Windows knows a user who comes with a certificate by this name in it.
_PRINCIPAL_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C
_MOST_NAME = 64  # characters of a common name


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
    text = f"{public.decode()} {_COMMENT}"
    return KeyMaterial(text, ssh_fingerprint(text), _pem(private))


def generate_x509(user_id: str, now: datetime) -> KeyMaterial:
    """A new RSA pair, certified by itself as the user's: what logs in to Windows guests."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:_MOST_NAME])])
    principal = x509.OtherName(_PRINCIPAL_NAME, _der_text(f"{user_id}@localhost"))
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _CERTIFIED_FOR)
        .add_extension(x509.SubjectAlternativeName([principal]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return KeyMaterial(text, x509_fingerprint(text), _pem(private))


def _pem(private: rsa.RSAPrivateKey) -> str:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def _der_text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 0x80:
        return bytes((_UTF8_STRING, len(data))) + data
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    return bytes((_UTF8_STRING, 0x80 | len(size))) + size + data


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

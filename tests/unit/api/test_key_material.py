# SPDX-License-Identifier: Apache-2.0
"""Keys are made and read as OpenSSH and OpenSSL do."""

import datetime
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.errors import InvalidKeypair
from services.api import key_material


def test_a_made_certificate_is_of_its_user_and_openssl_agrees_on_it(tmp_path):
    user, now = "u" * 200, datetime.datetime.now(datetime.UTC)

    made = key_material.generate_x509(user, now)

    certificate, private = tmp_path / "user.pem", tmp_path / "key.pem"
    certificate.write_text(made.public_key)
    private.write_text(made.private_key)
    subprocess.run(["openssl", "verify", "-x509_strict", "-partial_chain", "-purpose", "sslclient",
                    "-trusted", certificate, certificate], check=True)  # fmt: skip
    shown = openssl("x509", "-noout", "-fingerprint", "-subject", "-ext", "subjectAltName",
                    "-in", certificate)  # fmt: skip
    assert shown.splitlines()[0].lower().endswith(f"={made.fingerprint}")
    assert f"CN = {user[:64]}\n" in shown
    assert f"UPN::{user}@localhost" in shown
    public = openssl("x509", "-noout", "-pubkey", "-in", certificate)
    assert openssl("pkey", "-pubout", "-in", private) == public


def openssl(*words):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


def test_a_made_pair_belongs_together_and_ssh_keygen_agrees_on_its_fingerprint(tmp_path):
    made = key_material.generate_ssh()
    private, public = tmp_path / "key", tmp_path / "key.pub"
    private.write_text(made.private_key)
    private.chmod(0o600)
    public.write_text(made.public_key + "\n")

    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", private], check=True, capture_output=True, text=True
    ).stdout
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-E", "md5", "-f", public], check=True, capture_output=True, text=True
    ).stdout

    assert derived.split()[:2] == made.public_key.split()[:2]
    assert shown.split()[1] == f"MD5:{made.fingerprint}"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_ssh_keygen_are_read(tmp_path, kind):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key"], check=True)

    read = key_material.read_public_key((tmp_path / "key.pub").read_text(), "ssh")

    assert len(read.fingerprint.split(":")) == 16


@pytest.mark.parametrize(
    "text", ["", "ssh-rsa", "ssh-rsa !!!", "ssh-rsa AAAA", "hello AAAAB3NzaC1yc2E=", "x " * 2000]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(InvalidKeypair, match="Keypair data is invalid"):
        key_material.read_public_key(text, "ssh")


def test_a_certificate_is_read_and_its_sha1_is_the_fingerprint():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "user")])
    now = datetime.datetime(2026, 1, 1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(key.public_key()).not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()

    read = key_material.read_public_key(text, "x509")

    assert read.fingerprint.replace(":", "") == certificate.fingerprint(hashes.SHA1()).hex()


def test_what_is_no_certificate_is_refused():
    with pytest.raises(InvalidKeypair):
        key_material.read_public_key("-----BEGIN CERTIFICATE-----\nx\n", "x509")

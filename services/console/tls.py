# SPDX-License-Identifier: Apache-2.0
"""TLS of the doors, and of the screens behind them."""

import ssl

from common.errors import Invalid

_VERSIONS = {"tlsv1_2": ssl.TLSVersion.TLSv1_2, "tlsv1_3": ssl.TLSVersion.TLSv1_3}


def context(cert: str, key: str, minimum: str, ciphers: str) -> ssl.SSLContext | None:
    """What the doors speak; None without a certificate. Raises: Invalid."""
    if not cert:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = _VERSIONS[minimum]
    try:
        made.load_cert_chain(cert, key or None)
        if ciphers:
            made.set_ciphers(ciphers)
    except (OSError, ssl.SSLError) as wrong:
        raise Invalid(f"[console] cert {cert}, key {key or cert}, ciphers: {wrong}") from wrong
    return made


def to_screens(ca_certs: str, cert: str, key: str) -> ssl.SSLContext:
    """What is spoken to screens, with a certificate of ours if there is one. Raises: Invalid.

    Theirs must be of one of `ca_certs`, which is for hypervisors alone: they are reached by
    addresses, which their certificates need not name.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    try:
        made.load_verify_locations(ca_certs)
        if cert:
            made.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as wrong:
        files = f"vencrypt_ca_certs {ca_certs}, vencrypt_client_cert {cert}"
        raise Invalid(f"[vnc] {files}, vencrypt_client_key {key or cert}: {wrong}") from wrong
    return made

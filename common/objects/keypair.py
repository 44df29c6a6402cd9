# SPDX-License-Identifier: Apache-2.0
"""Keypair: a public key that a user's instances get."""

from datetime import datetime

from common.objects.versioned import Versioned


class Keypair(Versioned, frozen=True, kw_only=True):
    """A named public key of a user; `type` is `ssh` or `x509`."""

    id: int = 0
    user_id: str
    name: str
    type: str = "ssh"
    fingerprint: str
    public_key: str
    created_at: datetime | None = None


class NewKeypair(Versioned, frozen=True, kw_only=True):
    """A keypair just made; `private_key` is shown once and stored nowhere."""

    keypair: Keypair
    private_key: str | None = None

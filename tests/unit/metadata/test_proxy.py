# SPDX-License-Identifier: Apache-2.0
"""Behind the proxy only signed names count."""

import hashlib
import hmac

import pytest
from falcon import testing

from services.metadata.asker import BySignedHeaders
from tests.unit.metadata.guest import PROJECT, UUID, KnowsGuests, make_guest, make_service

SECRET = "wonderful sécret"


def signed(instance: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), instance.encode(), hashlib.sha256).hexdigest()


HEADERS = {
    "X-Instance-ID": UUID,
    "X-Instance-ID-Signature": signed(UUID),
    "X-Tenant-ID": PROJECT,
    "X-Forwarded-For": "10.1.0.5",
}


def ask(conductor=None, **headers):
    service = make_service(
        conductor or KnowsGuests(make_guest()), identifies=BySignedHeaders(SECRET)
    )
    sent = {**HEADERS, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return testing.TestClient(service.app()).simulate_get(
        "/openstack/latest/meta_data.json", headers={k: v for k, v in sent.items() if v is not None}
    )


def test_a_signed_request_is_answered():
    assert ask().json["uuid"] == UUID


@pytest.mark.parametrize("name", ["X-Instance-ID", "X-Instance-ID-Signature", "X-Tenant-ID"])
def test_a_missing_header_is_400_and_named(name):
    answer = ask(**{name.replace("-", "_"): None})

    assert (answer.status_code, answer.text) == (400, f"{name} header is missing from request.")


@pytest.mark.parametrize("signature", [signed(UUID, "other"), signed("x"), "ünsigned", "0"])
def test_a_wrong_signature_is_403_and_nobody_is_asked(signature):
    conductor = KnowsGuests(make_guest())

    answer = ask(conductor, X_Instance_ID_Signature=signature)

    assert (answer.status_code, answer.text) == (403, "Invalid proxy request signature.")
    assert conductor.asked == 0


def test_another_project_or_an_unknown_server_is_404():
    unknown = "99999999-6b3a-4c5d-8e9f-a0b1c2d3e4f5"

    assert ask(X_Tenant_ID="somebody else's").status_code == 404
    assert ask(X_Instance_ID=unknown, X_Instance_ID_Signature=signed(unknown)).status_code == 404

# SPDX-License-Identifier: Apache-2.0
"""Microversion negotiation: from request headers to 2.N, and back into answer headers."""

import re

import falcon

from common.errors import Invalid
from services.api.declare.version import FIRST, LAST, MAJOR
from services.api.faults import HttpRefusal

NEW_HEADER = "OpenStack-API-Version"
OLD_HEADER = "X-OpenStack-Nova-API-Version"
_SERVICE = "compute"
_FORM = re.compile(r"^([1-9]\d*)\.([1-9]\d*|0)$")


class NotOffered(HttpRefusal):
    """A well-formed version that this API does not have; the answer's headers echo it."""

    def __init__(self, version: str) -> None:
        super().__init__(
            406,
            f"Version {version} is not supported by the API. Minimum is {MAJOR}.{FIRST} and "
            f"maximum is {MAJOR}.{LAST}.",
        )
        self.version = version


def negotiate(req: falcon.Request) -> int:
    """N of the 2.N that the request asks for (2.1 when it asks for none).

    Raises: Invalid (malformed), NotOffered.
    """
    asked = _asked(req)
    if asked is None:
        return FIRST
    if asked == "latest":
        return LAST
    form = _FORM.match(asked)
    if form is None:
        raise Invalid(
            f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."
        )
    major, number = int(form[1]), int(form[2])
    if major != MAJOR or not FIRST <= number <= LAST:
        raise NotOffered(asked)
    return number


def _asked(req: falcon.Request) -> str | None:
    several = req.get_header(NEW_HEADER)
    if several is not None:
        for each in several.split(","):
            service, _, version = each.strip().partition(" ")
            if service == _SERVICE:
                return version.strip()
    return req.get_header(OLD_HEADER)


def put_headers(resp: falcon.Response, version: str) -> None:
    """Say which version answered, and that it depends on the request's headers."""
    resp.set_header(NEW_HEADER, f"{_SERVICE} {version}")
    resp.set_header(OLD_HEADER, version)
    resp.append_header("Vary", NEW_HEADER)
    resp.append_header("Vary", OLD_HEADER)

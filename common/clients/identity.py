# SPDX-License-Identifier: Apache-2.0
"""The identity service (Identity API v3): what kilonova asks besides token validation."""

from urllib.parse import quote

from common.clients.session import Refused, ServiceSession


class IdentityClient:
    """Projects, with kilonova's own credentials."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def project_exists(self, project_id: str) -> bool:
        """Whether there is such a project; True also when identity does not let us ask.

        Raises: Unavailable.
        """
        try:
            path = f"/projects/{quote(project_id, safe='')}"
            self._session.request("identity", "v3", "GET", path)
        except Refused as refused:
            return refused.status != 404
        return True

# SPDX-License-Identifier: Apache-2.0
"""The Compute API as the commands call it, with openstacksdk's configuration and session."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.cli.failures import CommandError, ExitCode, refused

# The newest microversion whose answers the commands read. Capacity left os-hypervisors in 2.88.
MICROVERSION = "2.96"
HYPERVISORS_MICROVERSION = "2.87"
_TIMEOUT_S = 30


class Cloud:
    """One cloud, by its name in clouds.yaml or by OS_* variables; connects when first used."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._compute: Any = None

    def get(self, path: str, *, microversion: str | None = MICROVERSION, **query: object) -> Any:
        """The JSON body of GET `path`; arguments that are None are left out of the query.

        Raises: CommandError (whatever went wrong, with the exit code for it).
        """
        params = {key: value for key, value in query.items() if value is not None}
        return self._request("GET", path, microversion, params=params)

    def put(self, path: str, body: dict[str, object]) -> Any:
        """The JSON body of the answer to PUT. Raises: CommandError."""
        return self._request("PUT", path, MICROVERSION, json=body)

    def post(self, path: str, body: dict[str, object]) -> Any:
        """The JSON body of the answer to POST. Raises: CommandError."""
        return self._request("POST", path, MICROVERSION, json=body)

    @property
    def verify(self) -> bool | str:
        """How certificates are checked: a file with authorities, by the system's, or not at all.

        Known once something was asked.
        """
        found: bool | str = self._compute.session.verify
        return found

    def delete(self, path: str) -> None:
        """DELETE `path`. Raises: CommandError."""
        self._request("DELETE", path, MICROVERSION)

    def pages(
        self, path: str, key: str, *, microversion: str = MICROVERSION, **query: object
    ) -> Iterator[dict[str, Any]]:
        """The items of a paged list, page after page."""
        while True:
            page = self.get(path, microversion=microversion, **query)
            yield from page[key]
            following = [x["href"] for x in page.get(f"{key}_links", ()) if x["rel"] == "next"]
            if not following or not page[key]:
                return
            query |= dict(parse_qsl(urlsplit(following[0]).query))

    def _request(self, method: str, path: str, microversion: str | None, **options: Any) -> Any:
        if self._compute is None:
            self._compute = _reaching(lambda: _connect(self._name))
        answer = _reaching(
            lambda: self._compute.request(
                path, method, microversion=microversion, raise_exc=False, **options
            )
        )
        if answer.status_code >= 400:
            raise refused(answer.status_code, _message(answer))
        return answer.json() if answer.content else None


def _connect(name: str | None) -> Any:
    # Imported when needed: the SDK takes longer to import than most commands take to run, and
    # completion, `config check` and `db` do without it.
    from keystoneauth1.adapter import Adapter
    from openstack.config import OpenStackConfig

    region = OpenStackConfig(app_name="kilonova").get_one(cloud=name, api_timeout=_TIMEOUT_S)
    return Adapter(
        region.get_session(),
        service_type="compute",
        interface=region.get_interface("compute"),
        region_name=region.get_region_name("compute"),
        endpoint_override=region.get_endpoint("compute"),
    )


def _reaching(call: Callable[[], Any]) -> Any:
    """Run a call that needs the network and a configuration; what stops it, in words."""
    import keystoneauth1.exceptions as ka
    from openstack.exceptions import ConfigException, SDKException

    try:
        return call()
    except (ConfigException, ka.MissingRequiredOptions) as wrong:
        hint = "name a cloud with --cloud or OS_CLOUD, or set the OS_* variables"
        raise CommandError(f"{wrong} ({hint})", ExitCode.USAGE) from wrong
    except ka.Unauthorized as wrong:
        raise CommandError(f"Not authenticated: {wrong.message}", ExitCode.UNAVAILABLE) from wrong
    except (ka.ClientException, SDKException) as away:
        raise CommandError(str(away), ExitCode.UNAVAILABLE) from away


def _message(answer: Any) -> str:
    """The message of an error body, or what stands for one."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    inner = next(iter(body.values()), None) if isinstance(body, dict) else None
    if isinstance(inner, dict) and inner.get("message"):
        return str(inner["message"])
    return f"The compute service answered {answer.status_code} {answer.reason}."

# SPDX-License-Identifier: Apache-2.0
"""Calls of neighbour services (identity, image, network, volume) by their public HTTP APIs.

Endpoints come from the service catalogue. A call goes out with kilonova's own credentials, or with
a user's token where the user's own rights shall decide. Whatever way a neighbour is away becomes
`Unavailable`; its refusals become `Refused`, which the client of that service translates.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

import keystoneauth1.exceptions as ka
from keystoneauth1 import adapter, loading
from keystoneauth1 import session as ka_session
from oslo_config import cfg

from common.errors import KilonovaError, Unavailable

_LINE_BREAKS = re.compile(r"(?:\s|<br\s*/?>)+")


class Refused(KilonovaError):
    """A neighbour answered with a 4xx status; `message` is the reason it gave."""

    def __init__(self, text: str, /, *, status: int, error_type: str = "") -> None:
        super().__init__(text, status=status, error_type=error_type)
        self.status = status
        self.error_type = error_type


class ServiceSession:
    """Authenticated access to the neighbours, as `[service_user]` says. Thread-safe."""

    def __init__(self, conf: cfg.ConfigOpts, group: str = "service_user") -> None:
        options = conf[group]
        self._region = options.region_name
        self._interface = options.interface
        self._timeout_s = options.timeout_s
        auth = loading.load_auth_from_conf_options(conf, group)
        self._session = ka_session.Session(
            auth=auth, verify=options.cafile or True, timeout=options.timeout_s
        )
        self._endpoints: dict[str, str] = {}
        self._lock = threading.Lock()

    def endpoint(self, service_type: str, version: str) -> str:
        """The service's URL with `version` (such as `v2.0`) at its end, from the catalogue.

        What a catalogue has behind the version (a project's id) is left out.
        Raises: Unavailable (identity is away, or the catalogue has no such service).
        """
        key = f"{service_type} {version}"
        known = self._endpoints.get(key)
        if known:
            return known
        found = self._translated(
            service_type,
            lambda: self._session.get_endpoint(
                service_type=service_type, region_name=self._region, interface=self._interface
            ),
        )
        if not found:
            raise Unavailable(service=f"The {service_type} service (not in the catalogue)")
        base = str(found).rstrip("/").partition(f"/{version}/")[0].removesuffix(f"/{version}")
        base = f"{base}/{version}"
        with self._lock:
            self._endpoints[key] = base
        return base

    def request(
        self,
        service_type: str,
        version: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        **options: Any,
    ) -> Any:
        """One call; the requests.Response of a 2xx or 3xx answer.

        `token`: the user's, instead of kilonova's own credentials. A connection that breaks is
        made once more, and the request sent again, unless `connect_retries` says something else.
        Raises: Refused (4xx), Unavailable (5xx, no connection, no answer in time).
        """
        url = self.endpoint(service_type, version) + path
        if token is not None:
            options["authenticated"] = False
            options["headers"] = {**options.get("headers", {}), "X-Auth-Token": token}
        options.setdefault("connect_retries", 1)
        return self._translated(
            service_type,
            lambda: self._session.request(url, method, user_agent="kilonova", log=False, **options),
        )

    def project_id(self) -> str:
        """The project of kilonova's own credentials. Raises: Unavailable."""
        found = self._translated("identity", self._session.get_project_id)
        return str(found or "")

    def adapter(self, service_type: str) -> adapter.Adapter:
        """A keystoneauth adapter, for libraries that want one."""
        return adapter.Adapter(
            self._session, service_type=service_type, region_name=self._region,
            interface=self._interface,
        )  # fmt: skip

    def _translated(self, service_type: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ka.HttpError as answer:
            if answer.http_status >= 500:
                raise Unavailable(service=f"The {service_type} service") from answer
            raise refusal_of(answer) from answer
        except (ka.ConnectFailure, ka.ConnectionError, ka.RequestTimeout) as away:
            raise Unavailable(service=f"The {service_type} service") from away
        except ka.ClientException as failed:
            raise Unavailable(service="The identity service") from failed


def refusal_of(answer: ka.HttpError) -> Refused:
    """What a service refused, in its own words.

    Most put them into an object of the body's first key; the image service puts them beside each
    other, with line breaks of HTML.
    """
    try:
        body: Any = answer.response.json() if answer.response is not None else None
    except ValueError:
        body = None
    inner: Any = next(iter(body.values()), None) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        inner = body if isinstance(body, dict) else {}
    message = str(inner.get("message") or inner.get("title") or answer.message)
    return Refused(
        _LINE_BREAKS.sub(" ", message).strip(),
        status=answer.http_status,
        error_type=str(inner.get("type") or ""),
    )

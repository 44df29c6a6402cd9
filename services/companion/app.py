# SPDX-License-Identifier: Apache-2.0
"""The companion as one WSGI application: five APIs below one root."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import falcon

from common import daemon
from common.clock import Clock, SystemClock
from services.companion.compute_events import ComputeApi, ComputeEvents
from services.companion.identity import routes as identity
from services.companion.identity.callers import Callers
from services.companion.image import routes as image
from services.companion.network import routes as network
from services.companion.network.plane.keeper import Plane, make_plane
from services.companion.settings import Settings
from services.companion.share import routes as share
from services.companion.share import work as share_work
from services.companion.share.call import ShareCalls
from services.companion.share.exports import Exports
from services.companion.share.parts import Parts as ShareParts
from services.companion.store.engine import Store
from services.companion.volume import routes as volume
from services.companion.volume.call import VolumeCalls
from services.companion.volume.jobs import Jobs
from services.companion.web import faults
from services.companion.web.body import answer

STORE = "companion.sqlite"


@dataclass(frozen=True)
class Companion:
    """The application, with what must be stopped after it."""

    app: falcon.App[Any, Any]
    store: Store
    plane: Plane
    jobs: Jobs
    events: ComputeEvents

    def stop(self) -> None:
        """Stop the threads and close the store; networks stay as they are."""
        self.jobs.stop()
        self.events.stop()
        self.plane.stop()
        self.store.close()


class Health:
    """`GET /healthz`."""

    public = ("GET",)

    def __init__(self, problems: Callable[[], dict[str, str]]) -> None:
        self._problems = problems

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 when all is well, 503 with what is not."""
        problems = self._problems()
        document = daemon.health_document("kilonova-companion", problems)
        answer(resp, document, 503 if problems else 200)


class Root:
    """`GET /`: where the services are."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """One link a service."""
        names = ("identity", "image", "network", "volume", "share")
        answer(resp, {"services": {n: f"{req.context.base_url}/{n}" for n in names}})


def make_companion(settings: Settings, clock: Clock | None = None) -> Companion:
    """The companion on its store, data plane running. Make it after a fork."""
    clock = clock or SystemClock()
    store = Store(settings.data_path / STORE)
    plane = make_plane(settings.plane, store)
    callers = Callers(store, clock, settings.public_url)
    app: falcon.App[Any, Any] = falcon.App(middleware=[callers, VolumeCalls(), ShareCalls()])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_form_urlencoded = False
    faults.install(app)
    app.add_route("/", Root())
    app.add_route("/healthz", Health(plane.problems))
    identity.install(app, store, clock, settings)
    files = image.install(app, store, clock, settings)
    compute = ComputeApi(store, clock) if settings.tell_compute else None
    events = ComputeEvents(compute)
    network.install(app, store, clock, settings, plane, events)
    chosen = settings.shares
    exports = Exports(settings.data_path / "shares", chosen.nfs_server, chosen.export_command)
    more_work = share_work.kinds(store, clock, exports)
    jobs = volume.install(app, store, clock, settings, files, events, compute, more_work)
    share.install(app, ShareParts(store, clock, exports, jobs, chosen.quota_shares))
    plane.start()
    jobs.start()
    return Companion(app, store, plane, jobs, events)


def make_app(settings: Settings, clock: Clock | None = None) -> falcon.App[Any, Any]:
    """The WSGI application alone."""
    return make_companion(settings, clock).app

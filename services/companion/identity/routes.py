# SPDX-License-Identifier: Apache-2.0
"""Every URL of the Identity API."""

from typing import Any

import falcon

from common.clock import Clock
from services.companion.identity.authenticate import Authenticator
from services.companion.identity.collection import Collection
from services.companion.identity.documents import IdentityVersions
from services.companion.identity.grants import Grants, RoleAssignments
from services.companion.identity.kinds import KINDS
from services.companion.identity.passwords import Hasher
from services.companion.identity.token_resources import AuthTokens, Catalog, Scopes
from services.companion.identity.user_resources import (
    ApplicationCredentials,
    NoGroups,
    UserPassword,
    UserProjects,
)
from services.companion.settings import Settings
from services.companion.store.engine import Store

BASE = "/identity/v3"


def install(app: falcon.App[Any, Any], store: Store, clock: Clock, settings: Settings) -> None:
    """Serve the Identity API below /identity."""
    hasher = Hasher(settings.password_cost)
    authenticator = Authenticator(store, clock, hasher, token_lifetime_s=settings.token_lifetime_s)
    versions = IdentityVersions()
    app.add_route("/identity", versions)
    app.add_route(BASE, versions, suffix="one")
    app.add_route(f"{BASE}/auth/tokens", AuthTokens(store, clock, authenticator))
    app.add_route(f"{BASE}/auth/catalog", Catalog(store, BASE))
    for kind, path in (("project", "projects"), ("domain", "domains"), ("system", "system")):
        app.add_route(f"{BASE}/auth/{path}", Scopes(store, BASE, kind))
        grants = Grants(store, BASE, kind)
        target = "/system" if kind == "system" else f"/{path}/{{item_id}}"
        app.add_route(f"{BASE}{target}/users/{{user_id}}/roles", grants)
        app.add_route(f"{BASE}{target}/users/{{user_id}}/roles/{{role_id}}", grants, suffix="one")
    app.add_route(f"{BASE}/role_assignments", RoleAssignments(store, BASE))
    for resource in KINDS:
        collection = Collection(resource, store, hasher, BASE)
        app.add_route(f"{BASE}/{resource.plural}", collection)
        app.add_route(f"{BASE}/{resource.plural}/{{item_id}}", collection, suffix="one")
    user = f"{BASE}/users/{{item_id}}"
    app.add_route(f"{user}/projects", UserProjects(store))
    app.add_route(f"{user}/groups", NoGroups())
    app.add_route(f"{BASE}/groups", NoGroups())
    app.add_route(f"{user}/password", UserPassword(store, hasher, authenticator))
    credentials = ApplicationCredentials(store, hasher)
    app.add_route(f"{user}/application_credentials", credentials)
    app.add_route(f"{user}/application_credentials/{{credential_id}}", credentials, suffix="one")

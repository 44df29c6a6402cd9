# SPDX-License-Identifier: Apache-2.0
"""The `catalog` interface: flavors and keypairs."""

from common.context import RequestContext
from common.objects.flavor import Flavor
from common.objects.keypair import Keypair
from common.rpc.conductor.catalog import Catalog
from services.conductor.db import flavors, keypairs
from services.conductor.db.engine import Database
from services.conductor.quota import Quota


class CatalogEndpoint(Catalog):
    """Each method is one transaction on the queries of `db/flavors.py` or `db/keypairs.py`."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    def flavors(
        self,
        ctx: RequestContext,
        *,
        is_public: bool | None = True,
        name: str | None = None,
        min_memory_mib: int = 0,
        min_root_gib: int = 0,
        sort_key: str = "flavorid",
        sort_dir: str = "asc",
        limit: int = 1000,
        marker: str | None = None,
    ) -> list[Flavor]:
        """Flavors that the caller may use."""
        with self._database.read() as conn:
            return flavors.list_flavors(
                conn, ctx,
                is_public=is_public, name=name,
                min_memory_mib=min_memory_mib, min_root_gib=min_root_gib,
                sort_key=sort_key, sort_dir=sort_dir, limit=limit, marker=marker,
            )  # fmt: skip

    def flavor(self, ctx: RequestContext, flavorid: str) -> Flavor:
        """One flavor that the caller may use."""
        with self._database.read() as conn:
            return flavors.get(conn, ctx, flavorid)

    def create_flavor(self, ctx: RequestContext, flavor: Flavor) -> Flavor:
        """Make a flavor."""
        with self._database.begin() as conn:
            return flavors.add(conn, flavor)

    def update_flavor(
        self, ctx: RequestContext, flavorid: str, *, description: str | None
    ) -> Flavor:
        """Change the description."""
        with self._database.begin() as conn:
            return flavors.describe(conn, flavorid, description)

    def delete_flavor(self, ctx: RequestContext, flavorid: str) -> None:
        """Remove a flavor."""
        with self._database.begin() as conn:
            flavors.remove(conn, flavorid)

    def change_extra_specs(
        self,
        ctx: RequestContext,
        flavorid: str,
        *,
        set_items: dict[str, str],
        delete_keys: list[str],
    ) -> dict[str, str]:
        """Set and delete extra specs."""
        with self._database.begin() as conn:
            return flavors.change_extra_specs(
                conn, flavorid, set_items=set_items, delete_keys=delete_keys
            )

    def flavor_access(self, ctx: RequestContext, flavorid: str) -> list[str]:
        """Projects with access."""
        with self._database.read() as conn:
            return flavors.access(conn, flavorid)

    def change_flavor_access(
        self,
        ctx: RequestContext,
        flavorid: str,
        *,
        project_id: str,
        grant: bool,
        even_public: bool = False,
    ) -> list[str]:
        """Give or take a project's access."""
        with self._database.begin() as conn:
            if grant:
                flavors.grant(conn, flavorid, project_id, even_public=even_public)
            else:
                flavors.revoke(conn, flavorid, project_id)
            return flavors.access(conn, flavorid, even_public=True)

    def keypairs(
        self,
        ctx: RequestContext,
        *,
        user_id: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Keypair]:
        """A user's keypairs by name."""
        with self._database.read() as conn:
            return keypairs.list_keypairs(conn, user_id, limit=limit, marker=marker)

    def keypair(self, ctx: RequestContext, *, user_id: str, name: str) -> Keypair:
        """One keypair."""
        with self._database.read() as conn:
            return keypairs.get(conn, user_id, name)

    def create_keypair(self, ctx: RequestContext, keypair: Keypair) -> Keypair:
        """Keep a public key, within the quota of its user."""
        with self._database.begin() as conn:
            self._quota.check_keypair(conn, ctx.project_id or "", keypair.user_id)
            return keypairs.add(conn, keypair)

    def delete_keypair(self, ctx: RequestContext, *, user_id: str, name: str) -> None:
        """Remove a keypair."""
        with self._database.begin() as conn:
            keypairs.remove(conn, user_id, name)

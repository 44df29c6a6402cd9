# SPDX-License-Identifier: Apache-2.0
"""Catalog: flavors and keypairs."""

from common.context import RequestContext
from common.objects.flavor import Flavor
from common.objects.keypair import Keypair
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Catalog(Interface, topic=TOPIC, namespace="catalog", version="1.0"):
    """Flavors and keypairs.

    1.0  first release
    """

    @call()
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
        """Flavors that the caller may use; `is_public` None lists both kinds for administrators.

        `name` None is any; another one is exactly that of the flavor.
        A caller who is no administrator sees public flavors and those its project has access to.
        Raises: Invalid (unknown marker or sort key).
        """

    @call()
    def flavor(self, ctx: RequestContext, flavorid: str) -> Flavor:
        """One flavor that the caller may use. Raises: FlavorNotFound."""

    @call()
    def create_flavor(self, ctx: RequestContext, flavor: Flavor) -> Flavor:
        """Make a flavor. Raises: FlavorExists, FlavorNameExists."""

    @call()
    def update_flavor(
        self, ctx: RequestContext, flavorid: str, *, description: str | None
    ) -> Flavor:
        """Change the description. Raises: FlavorNotFound."""

    @call()
    def delete_flavor(self, ctx: RequestContext, flavorid: str) -> None:
        """Remove a flavor; instances keep their copy. Raises: FlavorNotFound."""

    @call()
    def change_extra_specs(
        self,
        ctx: RequestContext,
        flavorid: str,
        *,
        set_items: dict[str, str],
        delete_keys: list[str],
    ) -> dict[str, str]:
        """Set and delete extra specs; all of them afterwards. Raises: ExtraSpecNotFound."""

    @call()
    def flavor_access(self, ctx: RequestContext, flavorid: str) -> list[str]:
        """Projects with access to a flavor that is not public. Raises: NotFound (it is public)."""

    @call()
    def change_flavor_access(
        self,
        ctx: RequestContext,
        flavorid: str,
        *,
        project_id: str,
        grant: bool,
        even_public: bool = False,
    ) -> list[str]:
        """Give or take a project's access; the projects afterwards.

        `even_public`: give access to a flavor that needs none.
        Raises: FlavorNotFound, FlavorAccessExists, FlavorAccessNotFound, Conflict (the flavor is
        public, and access is to be given).
        """

    @call()
    def keypairs(
        self,
        ctx: RequestContext,
        *,
        user_id: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Keypair]:
        """A user's keypairs by name. Raises: Invalid (unknown marker)."""

    @call()
    def keypair(self, ctx: RequestContext, *, user_id: str, name: str) -> Keypair:
        """One keypair. Raises: KeypairNotFound."""

    @call()
    def create_keypair(self, ctx: RequestContext, keypair: Keypair) -> Keypair:
        """Keep a public key (the API made or read it). Raises: KeypairExists, QuotaExceeded."""

    @call()
    def delete_keypair(self, ctx: RequestContext, *, user_id: str, name: str) -> None:
        """Remove a keypair. Raises: KeypairNotFound."""

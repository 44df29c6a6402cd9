# SPDX-License-Identifier: Apache-2.0
"""What a request names of other services, looked up with the caller's own token.

The token is used here and goes nowhere else (docs/decisions/0003).
"""

from typing import Any

from common.clients.image import UserImageClient
from common.clients.network import UserNetworkClient
from common.errors import FixedIpInUse, ImageNotFound, Invalid, NetworkAmbiguous, NotFound
from common.objects.image import ImageMeta
from common.objects.network import RequestedNetwork
from services.api.call import ApiCall

_ATTACH_EXTERNAL = "network:attach_external_network"


class Lookups:
    """Images, networks and security groups as the caller may use them."""

    def __init__(self, images: UserImageClient, networks: UserNetworkClient) -> None:
        self._images = images
        self._networks = networks

    def image(
        self, call: ApiCall, image_id: str | None, *, missing: Invalid | None = None
    ) -> ImageMeta | None:
        """The image to boot from.

        Raises: Invalid (not there: `missing`, if given; not active), Unavailable.
        """
        if image_id is None:
            return None
        try:
            found = self._images.get(call.token, call.caller.project_id or "", image_id)
        except ImageNotFound as error:
            refusal = missing or Invalid(f"Can not find requested image (image {image_id})")
            raise refusal from error
        if found.status != "active":
            raise Invalid(f"Image {image_id} is not active.")
        return found

    def networks(self, call: ApiCall, asked: Any) -> tuple[RequestedNetwork, ...] | None:
        """The NICs to make; None for no networking at all.

        Absent below 2.37, and `auto` from there: the one network that the project can use. With
        `auto` the network service makes one where there is none.
        Raises: Invalid, Conflict (several networks), PortInUse, Unavailable.
        """
        if asked == "none":
            return None
        if asked in (None, [], "auto"):
            only = self._networks.only_network(call.token, call.caller.project_id or "")
            if only is None:
                if asked != "auto":
                    return None
                only = self._networks.allocated_network(call.token, call.caller.project_id or "")
            return (RequestedNetwork(network_id=only),)
        try:
            return self._check(call, [_requested(nic) for nic in asked])
        except (NotFound, FixedIpInUse) as missing:  # what a body names and is not there to be had
            raise Invalid(str(missing)) from missing

    def interface(self, call: ApiCall, asked: dict[str, Any]) -> RequestedNetwork:
        """The one interface that a server shall get more.

        Raises: Invalid, NetworkNotFound, PortNotFound, PortInUse, FixedIpInUse, Forbidden,
        Unavailable.
        """
        network, port = asked.get("net_id"), asked.get("port_id")
        addresses = [each["ip_address"] for each in asked.get("fixed_ips", ())]
        if network and port:
            raise Invalid("Must not input both net_id and port_id")
        if addresses and not network:
            raise Invalid("Must input network_id when request IP address")
        if not network and not port:
            try:
                network = self._networks.only_network(call.token, call.caller.project_id or "")
            except NetworkAmbiguous as several:
                raise Invalid(str(several)) from several
            if network is None:
                raise Invalid(
                    "No specific network was requested and none are available for project "
                    f"'{call.caller.project_id}'."
                )
        wanted = RequestedNetwork(
            network_id=network,
            port_id=port,
            fixed_ip=addresses[0] if addresses else None,
            tag=asked.get("tag"),
        )
        return self._check(call, [wanted])[0]

    def _check(self, call: ApiCall, wanted: list[RequestedNetwork]) -> tuple[RequestedNetwork, ...]:
        return self._networks.check(
            call.token, wanted, may_attach_external=call.allows(_ATTACH_EXTERNAL)
        )

    def security_groups(self, call: ApiCall, names: tuple[str, ...]) -> tuple[str, ...]:
        """The groups' names or ids as given, once each is known to exist for the caller."""
        if names and names != ("default",):
            project = call.caller.project_id or ""
            try:
                self._networks.security_group_ids(call.token, project, names)
            except NotFound as missing:
                raise Invalid(str(missing)) from missing
        return names


def _requested(nic: dict[str, Any]) -> RequestedNetwork:
    port, network = nic.get("port"), nic.get("uuid")
    if not port and not network:
        raise Invalid("Bad networks format: a network or a port is missing")
    return RequestedNetwork(
        network_id=None if port else network,
        port_id=port,
        fixed_ip=None if port else nic.get("fixed_ip"),
        tag=nic.get("tag"),
    )

# SPDX-License-Identifier: Apache-2.0
"""A guest for the metadata service's tests, and a conductor that knows some."""

import base64
from datetime import UTC, date, datetime

import msgspec

from common.errors import Unavailable
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.flavor import Flavor
from common.objects.guest_metadata import GuestMetadata
from common.objects.instance import Instance
from common.objects.keypair import Keypair
from common.objects.network import FixedIp, VirtualInterface
from common.rpc.conductor.metadata import Metadata
from services.metadata.app import MetadataService
from services.metadata.asker import BySourceAddress
from services.metadata.guests import Guests
from tests.unit.scheduler.hosts import HandClock

UUID = "0d7c1f2e-6b3a-4c5d-8e9f-a0b1c2d3e4f5"
PROJECT = "b1c2d3e4f5a64b7c8d9e0f1a2b3c4d5e"
ADDRESS = "10.1.0.5"


def make_guest(**fields) -> GuestMetadata:
    """A small server with a key, user data and one NIC."""
    instance = {
        "uuid": UUID, "id": 26, "project_id": PROJECT, "user_id": "u", "name": "web one",
        "hostname": "web-one", "vm_state": "active", "availability_zone": "nova",
        "flavor": Flavor(flavorid="1", name="m1.tiny", vcpus=1, memory_mib=512, root_gib=1),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC), "reservation_id": "r-abcdefgh",
        "metadata": {"role": "web"}, "security_groups": ("default", "web"),
        "user_data": base64.b64encode(b"#!/bin/sh\n\xff").decode(),
        "keypair": Keypair(user_id="u", name="k", fingerprint="f", public_key="ssh-ed25519 AAAA k"),
        "vifs": (
            VirtualInterface(
                port_id="p1", network_id="n1", mac="fa:16:3e:00:00:01", device="tap1",
                vif_type="bridge", fixed_ips=(FixedIp(address=ADDRESS, cidr="10.1.0.0/24"),),
            ),
        ),
    }  # fmt: skip
    password = fields.pop("password", None)
    return GuestMetadata(instance=Instance(**{**instance, **fields}), password=password)


class KnowsGuests(Metadata):
    """A conductor in memory; `away` makes it not answer. Counts what it is asked."""

    def __init__(self, *guests: GuestMetadata) -> None:
        self.guests = {guest.instance.uuid: guest for guest in guests}
        self.away = False
        self.asked = 0

    def find(self, ctx, uuids, addresses):
        self._answer()
        return [
            guest
            for guest in self.guests.values()
            if guest.instance.uuid in uuids or _addresses(guest) & set(addresses)
        ]

    def set_password(self, ctx, instance, password):
        self._answer()
        if self.guests[instance].password is not None:
            return False
        self.guests[instance] = msgspec.structs.replace(self.guests[instance], password=password)
        return True

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable(service="The conductor service")


def _addresses(guest: GuestMetadata) -> set[str]:
    return {ip.address for vif in guest.instance.vifs for ip in vif.fixed_ips}


def make_service(
    conductor: KnowsGuests, *, identifies=None, clock=None, cache_s=15.0, today=date(2026, 1, 1)
) -> MetadataService:
    clock = clock or HandClock()
    guests = Guests(conductor, cache_s=cache_s, clock=clock)
    return MetadataService(
        identifies or BySourceAddress(),
        guests,
        TreeSettings(vendor_data={"vendor": "us"}),
        lambda: today,
        lambda: {"conductor": "does not answer"} if guests.is_away else {},
    )

# SPDX-License-Identifier: Apache-2.0
"""Errors: few kinds, many names.

A *kind* says what sort of answer a failure deserves; `services/api/faults.py` alone turns a kind
into an HTTP status. A *name* (the class) says what happened. Errors cross the bus as `WireError`
and come out on the other side as the same class, or as their kind where the class is unknown there.
"""

from typing import Any, ClassVar

import msgspec


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels: class name, kind name, the finished message, its data."""

    name: str
    kind: str
    message: str
    details: dict[str, Any] = {}


_BY_NAME: dict[str, type["KilonovaError"]] = {}


class KilonovaError(Exception):
    """Base of every error that a user or operator may read.

    `message` is a template; keyword arguments fill it and are kept in `details`.
    """

    kind: ClassVar[str] = "internal"
    message: ClassVar[str] = "An unknown error occurred."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        self.details = details
        super().__init__(text if text is not None else self.message.format(**details))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _BY_NAME[cls.__name__] = cls

    def to_wire(self) -> WireError:
        """This error as it travels on the bus."""
        return WireError(type(self).__name__, self.kind, str(self), _plain(self.details))


def from_wire(wire: WireError) -> KilonovaError:
    """The error that `wire` describes, of the same class when this release knows it."""
    cls = _BY_NAME.get(wire.name) or _KINDS.get(wire.kind, KilonovaError)
    return cls(wire.message, **wire.details)


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    keep = (str, int, float, bool, type(None), list, dict)
    return {k: v if isinstance(v, keep) else str(v) for k, v in details.items()}


class Invalid(KilonovaError):
    """The request itself is wrong; the same request will never work (400)."""

    kind = "invalid"
    message = "The request is invalid."


class Forbidden(KilonovaError):
    """The caller may not do this (403)."""

    kind = "forbidden"
    message = "The action is forbidden."


class NotFound(KilonovaError):
    """What the request names does not exist, or not for this caller (404)."""

    kind = "not_found"
    message = "The resource could not be found."


class Conflict(KilonovaError):
    """The state of the thing does not allow it now (409)."""

    kind = "conflict"
    message = "The resource is in a state that does not allow this."


class Gone(KilonovaError):
    """The operation was removed from the API (410)."""

    kind = "gone"
    message = "This resource is no longer available. No forwarding address is given."


class TooLarge(KilonovaError):
    """The request body is too large (413)."""

    kind = "too_large"
    message = "Request is too large."


class NotSupported(KilonovaError):
    """The hypervisor driver or this deployment cannot do it (501)."""

    kind = "not_implemented"
    message = "The requested functionality is not supported."


class Unavailable(KilonovaError):
    """A part that the request needs does not answer; try again later (503)."""

    kind = "unavailable"
    message = "{service} is not available; try again later."


class NotReady(Unavailable):
    """A neighbour is still at work on what is needed; that may take longer than its return."""

    message = "{what} is not ready yet."


class NotYet(NotReady):
    """As NotReady; who raises it also knows when to end the wait."""


class Failed(KilonovaError):
    """The request was right, what it asked for went wrong on our side (500, with the reason)."""

    kind = "failed"


class Internal(KilonovaError):
    """A fault of ours (500)."""

    kind = "internal"
    message = "Unexpected error: {reason}"


_KINDS: dict[str, type[KilonovaError]] = {
    c.kind: c
    for c in (
        Invalid, Forbidden, NotFound, Conflict, Gone, TooLarge, NotSupported, Unavailable, Failed,
        Internal,
    )
}  # fmt: skip


# --- instances -------------------------------------------------------------------------------


class InstanceNotFound(NotFound):
    """No such instance, or it belongs to another project."""

    message = "Instance {instance} could not be found."


class InstanceInvalidState(Conflict):
    """The instance's state does not allow the operation (texts: states.json of the contract)."""

    message = "Cannot '{operation}' instance {instance} while it is in {attribute} {state}"


class InstanceLocked(Conflict):
    """The instance is locked and the caller is no administrator."""

    message = "Instance {instance} is locked"


class NotForTpm(Conflict):
    """What the guest's TPM remembers would be lost; text as clients know it."""

    message = "Operation '{operation}' not supported for vTPM-enabled instance ({instance})."


class MayRunElsewhere(Conflict):
    """A live migration was given up, and the host that the guest may have reached is down."""

    message = (
        "Instance {instance} may run on {host}, to which it was migrated and which does not answer."
    )


class InstanceNotReady(Conflict):
    """The instance is on no host yet."""

    message = "Instance {instance} is not ready"


class QuotaExceeded(Forbidden):
    """More than the project may have."""

    message = (
        "Quota exceeded for {resources}: Requested {requested}, "
        "but already used {used} of {limit} {resources}"
    )


class NoValidHost(KilonovaError):
    """No host can take the instance; the message counts why each was turned away."""

    kind = "conflict"
    message = "No valid host was found. {reason}"


class MigrationNotFound(NotFound):
    message = "Migration {migration} could not be found."


class HostFull(Conflict):
    """The chosen host no longer fits the flavor: somebody else claimed first."""

    message = "{host} no longer has room for the flavor: somebody else claimed it first."


class HostUnsuited(Invalid):
    """A host that somebody insists on cannot take the instance."""

    message = "{host} cannot take the instance: {reason}."


# --- things users name -----------------------------------------------------------------------


class FlavorNotFound(NotFound):
    message = "Flavor {flavor} could not be found."


class FlavorExists(Conflict):
    message = "Flavor with ID {flavor} already exists."


class FlavorNameExists(Conflict):
    message = "Flavor with name {name} already exists."


class FlavorAccessExists(Conflict):
    message = "Flavor access already exists for flavor {flavor} and project {project} combination."


class FlavorAccessNotFound(NotFound):
    message = "Flavor access not found for {flavor} / {project} combination."


class ExtraSpecNotFound(NotFound):
    message = "Flavor {flavor} has no extra specs with key {key}."


class KeypairNotFound(NotFound):
    message = "Keypair {name} not found for user {user}"


class KeypairExists(Conflict):
    message = "Key pair '{name}' already exists."


class KeypairQuotaExceeded(Forbidden):
    message = "Quota exceeded, too many key pairs."


class InvalidKeypair(Invalid):
    message = "Keypair data is invalid: {reason}"


class ImageNotFound(NotFound):
    message = "Image {image} could not be found."


class ImageUnacceptable(Invalid):
    """An image that cannot be booted: not active, too big, corrupt, or unsafe."""

    message = "Image {image} is unacceptable: {reason}"


class NetworkNotFound(NotFound):
    message = "Network {network} could not be found."


class ExternalNetworkForbidden(Forbidden):
    message = "It is not allowed to create an interface on external network {network}"


class PortNotFound(NotFound):
    message = "Port id {port} could not be found."


class PortInUse(Conflict):
    message = "Port {port} is still in use."


class PortNotUsableDns(Invalid):
    """A user's own port has another name in DNS than the guest would have."""

    message = (
        "Port {port} not usable for instance {instance}. Value {value} assigned to dns_name "
        "attribute does not match instance's hostname {hostname}"
    )


class InterfaceAttachFailed(Failed):
    """The host could not give the guest the device; the instance's action says why."""

    message = "Failed to attach network adapter device to {instance}"


class VirtualInterfaceFailed(Failed):
    """The network service did not plug a port in time, or said that it cannot."""

    message = "Virtual Interface creation failed: {reason}"


class SecurityGroupNotFound(NotFound):
    message = "Security group {group} not found."


class NetworkAmbiguous(Conflict):
    message = "Multiple possible networks found, use a Network ID to be more specific."


class FixedIpInUse(Conflict):
    message = "Fixed IP address {address} is already in use."


class PortLimitExceeded(Forbidden):
    message = "Maximum number of ports exceeded"


class NoMoreAddresses(Invalid):
    message = "No fixed IP addresses available for network: {network}"


class VolumeNotFound(NotFound):
    message = "Volume {volume} could not be found."


class SnapshotNotFound(NotFound):
    message = "Snapshot {snapshot} could not be found."


class InvalidVolume(Invalid):
    """A volume that cannot be used like this, or not now."""

    message = "Invalid volume: {reason}"


class VolumeNotAttached(NotFound):
    message = "volume_id not found: {volume}"


class VolumeQuotaExceeded(Forbidden):
    """The volume service gives the project no more."""

    message = "Quota exceeded for volumes: {reason}"


class QuiesceFailed(Conflict):
    """The image demands that its guest is quiet while it is copied, and it could not be."""

    message = "Quiescing is not supported in instance {instance}: {reason}"


class VolumesNotReady(NotReady):
    """The volume service is still making volumes: they are waited for."""

    message = "Volumes are not ready yet: {volumes}"


class TooManyDevices(Forbidden):
    message = (
        "The maximum allowed number of disk devices ({most}) to attach to a single instance has "
        "been exceeded."
    )


class ShareNotFound(NotFound):
    """No such share, or the instance does not have it."""

    message = "Share {share} could not be found."


class InvalidShare(Conflict):
    """A share that cannot be used like this, or not now."""

    message = "Share {share} cannot be used: {reason}"


class ShareInUse(Conflict):
    """The instance has the share, or another one by that tag."""

    message = "Instance {instance} has a share {share} with tag {tag} already."


class SharesNotSupported(Forbidden):
    """The host of the instance cannot give shares to guests."""

    message = "Instance {instance} is on host {host}, which cannot give shares to guests."


class InstanceHasShares(Conflict):
    """What a share cannot follow through."""

    message = "Instance {instance} has shares: '{operation}' is not supported with them."


class DeviceInUse(Conflict):
    message = "The supplied device path ({device}) is in use."


# --- consoles --------------------------------------------------------------------------------


class ConsoleTypeInvalid(Invalid):
    """No console is of this type, or not by this protocol."""

    message = "Invalid console type {console_type}"


class ConsoleTypeUnavailable(Invalid):
    """The guest has no console of this type."""

    message = "Unavailable console type {console_type}."


class ConsoleTokenNotFound(NotFound):
    """Nobody knows the token, or it opens nothing any more. The message must not repeat it."""

    message = "Token not found"


# --- hosts -----------------------------------------------------------------------------------


class ServiceNotFound(NotFound):
    message = "Service {service} could not be found."


class HostNotFound(NotFound):
    message = "Compute host {host} could not be found."


class HostDown(Conflict):
    """The instance's host is not heard from; text as clients know it."""

    message = "Service is unavailable at this time."


class AggregateNotFound(NotFound):
    message = "Aggregate {aggregate} could not be found."


class AggregateNameExists(Conflict):
    message = "Aggregate {name} already exists."


class AggregateHostExists(Conflict):
    message = "Aggregate {aggregate} already has host {host}."


class AggregateHostNotFound(NotFound):
    message = "Aggregate {aggregate} has no host {host}."


class ServerGroupNotFound(NotFound):
    message = "Instance group {group} could not be found."


class GroupForbidsHost(HostFull):
    """Another member of the server group was faster."""

    message = "Server group {name} ({policy}) allows none of the hosts {host} any more."


# --- the bus, the journal and the hypervisor ---------------------------------------------------


class PeerTooOld(NotSupported):
    """The peer runs a release that does not know the call or an argument of it."""

    message = "{peer} speaks {interface} {version}; {needed} is needed for {method}."


class TaskNotFound(NotFound):
    message = "Task {task} could not be found."


class StepTimedOut(KilonovaError):
    """A step did not report within its deadline."""

    message = "Step {step} on {host} did not finish within {deadline_s} s."


class HypervisorError(KilonovaError):
    """The hypervisor refused or failed; the message is what it said."""

    message = "The hypervisor failed: {reason}"


class VolumeUnreachable(HypervisorError):
    """A host cannot use a volume that the volume service gave it."""

    message = "Volume {volume} cannot be used on this host: {reason}"


class DomainNotFound(NotFound):
    """The host's hypervisor has no guest for this instance."""

    message = "Instance {instance} has no guest on its host."


class GuestHasArrived(Conflict):
    """What was made for a live migration is in use: the guest has come."""

    message = "The guest of instance {instance} has arrived on {host}; nothing is removed there."


class DiskFull(KilonovaError):
    """The host has no space left for the instance's disks."""

    message = "No space left on the host for {what}: {free_mib} MiB free, {need_mib} MiB needed."


class OperationCancelled(Conflict):
    """A host gave an operation up because it was asked to."""

    message = "The operation was given up: {reason}"

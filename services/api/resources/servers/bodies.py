# SPDX-License-Identifier: Apache-2.0
"""What requests for servers may carry."""

from services.api.declare.request import Body
from services.api.declare.types import (
    ANYTHING,
    BOOLEAN,
    NAME,
    NULL,
    TEXT,
    UUID,
    Array,
    Changing,
    Field,
    OneOf,
    Plain,
    Record,
    Type,
    enum,
    integer,
    mapping,
    string,
)
from services.api.declare.version import LAST

TAG_TEXT = string(1, 60, pattern="^[^,/]*$")
_HOST_NAME = string(1, 255, pattern="^[a-zA-Z0-9-._]*$")
# Names with dots came with 2.94.
_GUEST_NAME = Changing((
    ("2.90", string(2, 63, pattern="^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$")),
    ("2.94", _HOST_NAME),
))  # fmt: skip
_IPV4 = string(form="ipv4")
_IPV6 = string(form="ipv6")
ANY_IP = Plain({"type": "string", "oneOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
_METADATA = mapping("^[a-zA-Z0-9-_:. ]{1,255}$", string(most=255))
_ONE_ITEM = mapping("^[a-zA-Z0-9-_:. ]{1,255}$", string(most=255), least=1, most=1)
_DISK_CONFIG = enum("AUTO", "MANUAL")
_DESCRIPTION = string(0, 255, form="printable_or_empty", null=True)
_CERTIFICATES = Array(string(1), least=1, most=50, unique=True, null=True)
_COUNT = integer(1, texts=True, least_length=1)
_UUID_OR_UUIDS = OneOf((UUID, Array(UUID)))


def _optional(name: str, type_: Type, since: str | None = None, until: str | None = None) -> Field:
    return Field(name, type_, since, until, required=False)


_NETWORK = Record([
    _optional("fixed_ip", ANY_IP),
    _optional("port", string(form="uuid", null=True)),
    _optional("uuid", Changing((("2.1", TEXT), ("2.37", UUID)))),
    _optional("tag", TAG_TEXT, "2.32", "2.36"),
    _optional("tag", TAG_TEXT, "2.42"),
])  # fmt: skip
_NETWORKS = Changing((
    ("2.1", Array(_NETWORK)),
    ("2.37", OneOf((Array(_NETWORK), enum("none", "auto")))),
))  # fmt: skip
_FILE = Record([_optional("path", TEXT), _optional("contents", string(form="base64"))])
_BDM_FIELDS = [
    _optional("virtual_name", string(most=255)),
    _optional("volume_id", UUID),
    _optional("snapshot_id", UUID),
    _optional("volume_size", integer(1, 2147483647, texts=True, pattern="^[0-9]+$")),
    _optional("device_name", string(1, 255, pattern="^[a-zA-Z0-9._/-]*$")),
    _optional("delete_on_termination", BOOLEAN),
    _optional("no_device", ANYTHING),
    _optional("connection_info", string(most=16777215)),
]
_BDM_V2 = Record([
    *_BDM_FIELDS,
    _optional("source_type", enum("volume", "image", "snapshot", "blank")),
    _optional("uuid", string(1, 255, pattern="^[a-zA-Z0-9._-]*$")),
    _optional("image_id", UUID),
    _optional("destination_type", enum("local", "volume")),
    _optional("guest_format", string(most=255)),
    _optional("device_type", string(most=255)),
    _optional("disk_bus", string(most=255)),
    _optional("boot_index", Plain({"type": ["integer", "string", "null"],
                                   "pattern": "^-?[0-9]+$"})),
    _optional("tag", TAG_TEXT, "2.32", "2.32"),
    _optional("tag", TAG_TEXT, "2.42"),
    _optional("volume_type", string(0, 255, null=True), "2.67"),
])  # fmt: skip
_BDMS_V1 = Array(Record(_BDM_FIELDS))
_BDMS_V2 = Array(_BDM_V2)
BLOCK_DEVICES_V1 = Body.bare("block-devices-v1", _BDMS_V1)
BLOCK_DEVICES_V2 = Body.bare("block-devices-v2", _BDMS_V2)
_HINTS = Record([
    _optional("group", OneOf((Array(UUID), UUID))),
    _optional("different_host", _UUID_OR_UUIDS),
    _optional("same_host", Plain({"type": ["string", "array"],
                                  "items": {"type": "string", "format": "uuid"}})),
    _optional("query", Plain({"type": ["string", "object"]})),
    _optional("target_cell", NAME),
    _optional("different_cell", Plain({"type": ["string", "array"], "items": {"type": "string"}})),
    _optional("build_near_host_ip", ANY_IP),
    _optional("cidr", string(pattern="^/[0-9a-f.:]+$")),
], additional=True)  # fmt: skip

CREATE = Body(
    "server-create",
    key="server",
    fields=[
        Field("name", NAME),
        _optional("imageRef", OneOf((UUID, string(most=0)))),
        Field("flavorRef", Plain({"type": ["string", "integer"], "minLength": 1})),
        _optional("adminPass", TEXT),
        _optional("metadata", _METADATA),
        Field("networks", _NETWORKS, until="2.36", required=False),
        Field("networks", _NETWORKS, since="2.37"),
        _optional("OS-DCF:diskConfig", _DISK_CONFIG),
        _optional("accessIPv4", _IPV4),
        _optional("accessIPv6", _IPV6),
        _optional("personality", Array(_FILE), until="2.56"),
        _optional("availability_zone", NAME),
        _optional("block_device_mapping", _BDMS_V1),
        _optional("block_device_mapping_v2", _BDMS_V2),
        _optional("config_drive", BOOLEAN),
        _optional("key_name", NAME),
        _optional("min_count", _COUNT),
        _optional("max_count", _COUNT),
        _optional("return_reservation_id", BOOLEAN),
        _optional("security_groups", Array(Record([_optional("name", NAME)]))),
        _optional("user_data", string(most=65535, form="base64")),
        _optional("description", _DESCRIPTION, "2.19"),
        _optional("tags", Array(TAG_TEXT, most=50), "2.52"),
        _optional("trusted_image_certificates", _CERTIFICATES, "2.63"),
        _optional("host", _HOST_NAME, "2.74"),
        _optional("hypervisor_hostname", _HOST_NAME, "2.74"),
        _optional("hostname", _GUEST_NAME, "2.90"),
    ],
    outer=[
        _optional("os:scheduler_hints", _HINTS),
        _optional("OS-SCH-HNT:scheduler_hints", _HINTS),
    ],
)
UPDATE = Body("server-update", key="server", fields=[
    _optional("name", NAME),
    _optional("OS-DCF:diskConfig", _DISK_CONFIG),
    _optional("accessIPv4", _IPV4),
    _optional("accessIPv6", _IPV6),
    _optional("description", _DESCRIPTION, "2.19"),
    _optional("hostname", _GUEST_NAME, "2.90"),
    _optional("pinned_availability_zone", OneOf((string(1, 255), NULL)), "2.104"),
])  # fmt: skip
METADATA = Body.of("metadata", "metadata", _METADATA)
METADATA_ITEM = Body.of("metadata-item", "meta", _ONE_ITEM)
TAGS = Body.of("tags", "tags", Array(TAG_TEXT, most=50))
TAG = Body.bare("tag", NULL)
_TAG_IN_PATH = Body.bare("tag-in-path", TAG_TEXT)


def check_tag(tag: str) -> None:
    """A tag in a URL obeys what a tag in a body does. Raises: Invalid."""
    _TAG_IN_PATH.check(tag, LAST)


START = Body.of("start", "os-start", ANYTHING)
STOP = Body.of("stop", "os-stop", ANYTHING)
REBOOT = Body.of("reboot", "reboot", Record([
    Field("type", enum("HARD", "Hard", "hard", "SOFT", "Soft", "soft")),
]))  # fmt: skip
PAUSE = Body.of("pause", "pause", ANYTHING)
UNPAUSE = Body.of("unpause", "unpause", ANYTHING)
SUSPEND = Body.of("suspend", "suspend", ANYTHING)
RESUME = Body.of("resume", "resume", ANYTHING)
TRIGGER_CRASH_DUMP = Body.of("trigger-crash-dump", "trigger_crash_dump", NULL)
LOCK = Body.of("lock", "lock", Changing((
    ("2.1", ANYTHING),
    ("2.73", Record([_optional("locked_reason", string(1, 255))], null=True)),
)))  # fmt: skip
UNLOCK = Body.of("unlock", "unlock", ANYTHING)
RESET_STATE = Body.of("reset-state", "os-resetState", Record([
    Field("state", enum("active", "error")),
]))  # fmt: skip
INJECT_NETWORK_INFO = Body.of("inject-network-info", "injectNetworkInfo", ANYTHING)
CHANGE_PASSWORD = Body.of("change-password", "changePassword", Record([Field("adminPass", TEXT)]))
RESCUE = Body.of("rescue", "rescue", Record([
    _optional("adminPass", TEXT),
    _optional("rescue_image_ref", UUID),
], null=True))  # fmt: skip
UNRESCUE = Body.of("unrescue", "unrescue", ANYTHING)
REBUILD = Body("rebuild", key="rebuild", fields=[
    Field("imageRef", UUID),
    _optional("name", NAME),
    _optional("adminPass", TEXT),
    _optional("metadata", _METADATA),
    _optional("preserve_ephemeral", BOOLEAN),
    _optional("OS-DCF:diskConfig", _DISK_CONFIG),
    _optional("accessIPv4", _IPV4),
    _optional("accessIPv6", _IPV6),
    _optional("personality", Array(_FILE), until="2.56"),
    _optional("description", _DESCRIPTION, "2.19"),
    _optional("key_name", OneOf((string(1, 255), NULL)), "2.54"),
    _optional("user_data", string(most=65535, form="base64", null=True), "2.57"),
    _optional("trusted_image_certificates", _CERTIFICATES, "2.63"),
    _optional("hostname", _GUEST_NAME, "2.90"),
])  # fmt: skip
CREATE_IMAGE = Body("create-image", key="createImage", fields=[
    Field("name", NAME),
    _optional("metadata", _METADATA),
])  # fmt: skip
CREATE_BACKUP = Body("create-backup", key="createBackup", fields=[
    Field("name", NAME),
    Field("backup_type", TEXT),
    Field("rotation", integer(0, texts=True, least_length=1)),
    _optional("metadata", _METADATA),
])  # fmt: skip
SHELVE = Body.of("shelve", "shelve", ANYTHING)
SHELVE_OFFLOAD = Body.of("shelve-offload", "shelveOffload", ANYTHING)
UNSHELVE = Body.of("unshelve", "unshelve", Changing((
    ("2.1", ANYTHING),
    ("2.77", Record([Field("availability_zone", NAME)], null=True)),
    ("2.91", Record([
        _optional("availability_zone", string(null=True)),
        _optional("host", TEXT),
    ], null=True)),
)))  # fmt: skip
RESIZE = Body("resize", key="resize", fields=[
    Field("flavorRef", Plain({"type": ["string", "integer"], "minLength": 1})),
    _optional("OS-DCF:diskConfig", _DISK_CONFIG),
])  # fmt: skip
CONFIRM_RESIZE = Body.of("confirm-resize", "confirmResize", ANYTHING)
REVERT_RESIZE = Body.of("revert-resize", "revertResize", ANYTHING)
_HOST_OR_NULL = string(1, 255, pattern="^[a-zA-Z0-9-._]*$", null=True)
MIGRATE = Body.of("migrate", "migrate", Changing((
    ("2.1", ANYTHING),
    ("2.56", Record([_optional("host", _HOST_OR_NULL)], null=True)),
)))  # fmt: skip
_BOOLEAN_OR_AUTO = Plain({
    "type": ["boolean", "string"], "enum": [*BOOLEAN.schema(1)["enum"], "auto"],
})  # fmt: skip
MIGRATE_LIVE = Body("migrate-live", key="os-migrateLive", fields=[
    Field("block_migration", Changing((("2.1", BOOLEAN), ("2.25", _BOOLEAN_OR_AUTO)))),
    Field("disk_over_commit", BOOLEAN, until="2.24"),
    Field("host", _HOST_OR_NULL),
    Field("force", BOOLEAN, since="2.30", until="2.67", required=False),
])  # fmt: skip
EVACUATE = Body("evacuate", key="evacuate", fields=[
    _optional("host", string(1, 255, pattern="^[a-zA-Z0-9-._]*$")),
    Field("onSharedStorage", BOOLEAN, until="2.13"),
    _optional("adminPass", TEXT),
    Field("force", BOOLEAN, since="2.29", until="2.67", required=False),
])  # fmt: skip
FORCE_COMPLETE = Body.of("force-complete", "force_complete", NULL)
FORCE_DELETE = Body.of("force-delete", "forceDelete", ANYTHING)
RESTORE = Body.of("restore", "restore", ANYTHING)
CONSOLE_OUTPUT = Body.of("console-output", "os-getConsoleOutput", Record([
    _optional("length", integer(-1, texts=True, null=True, pattern="^-?[0-9]+$")),
]))  # fmt: skip
VNC_CONSOLE = Body.of(
    "vnc-console", "os-getVNCConsole", Record([Field("type", enum("novnc", "xvpvnc"))])
)
SPICE_CONSOLE = Body.of(
    "spice-console", "os-getSPICEConsole", Record([Field("type", enum("spice-html5"))])
)
SERIAL_CONSOLE = Body.of(
    "serial-console", "os-getSerialConsole", Record([Field("type", enum("serial"))])
)
RDP_CONSOLE = Body.bare("rdp-console", ANYTHING)
_GROUP_NAME = Record([Field("name", string(1))])
ADD_SECURITY_GROUP = Body.of("add-security-group", "addSecurityGroup", _GROUP_NAME, additional=True)
REMOVE_SECURITY_GROUP = Body.of(
    "remove-security-group", "removeSecurityGroup", _GROUP_NAME, additional=True
)
_ADDRESS = Record([Field("address", ANY_IP)])
ADD_FLOATING_IP = Body.of("add-floating-ip", "addFloatingIp", Record([
    Field("address", ANY_IP),
    _optional("fixed_address", ANY_IP),
]))  # fmt: skip
REMOVE_FLOATING_IP = Body.of("remove-floating-ip", "removeFloatingIp", _ADDRESS)
ADD_FIXED_IP = Body.of("add-fixed-ip", "addFixedIp", Record([
    Field("networkId", Plain({"type": ["string", "number"], "minLength": 1, "maxLength": 36})),
]))  # fmt: skip
REMOVE_FIXED_IP = Body.of("remove-fixed-ip", "removeFixedIp", _ADDRESS)

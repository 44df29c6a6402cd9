# SPDX-License-Identifier: Apache-2.0
"""Changes of an image, in both forms that clients send.

`application/openstack-images-v2.1-json-patch` has `{"op", "path", "value"}`, 2.0 `{"add": path,
"value"}`; what comes out is the same.
"""

from dataclasses import dataclass
from typing import Any

from services.companion.image import attributes
from services.companion.image.records import Image
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, shown

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
_OPERATIONS = ("add", "replace", "remove")
_MOST_CHANGES = 256


@dataclass(frozen=True)
class Change:
    """One step of a patch: `name` is an attribute or a free property."""

    op: str
    name: str
    value: Any = None


def parse(content_type: str, body: Any) -> list[Change]:
    """The changes in a body. Raises Fault 400 or 415."""
    form = content_type.partition(";")[0].strip()
    if form not in (V20, V21):
        raise Fault(415, f"Unsupported Content-Type; use {V21}.")
    if not isinstance(body, list) or len(body) > _MOST_CHANGES:
        raise Fault(
            400, f"Request body must be a JSON array of at most {_MOST_CHANGES} operations."
        )
    return [_change(item, form) for item in body]


def _change(item: Any, form: str) -> Change:
    if not isinstance(item, dict):
        raise Fault(400, "Operations must be JSON objects.")
    if form == V21:
        op, path = item.get("op"), item.get("path")
    else:
        op = next((name for name in _OPERATIONS if name in item), None)
        path = item.get(op) if op else None
    if op not in _OPERATIONS:
        raise Fault(400, f"Operations must be one of {', '.join(_OPERATIONS)}.")
    if op != "remove" and "value" not in item:
        raise Fault(400, f"Operation {op} needs a value.")
    return Change(str(op), _name(path), item.get("value"))


def _name(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/") or not 2 <= len(path) <= 512:
        raise Fault(400, "A path must be a string that begins with '/' and names a property.")
    inner = path[1:]
    if "/" in inner and not inner.startswith("tags/"):
        raise Fault(400, "A path must name a property of the image itself.")
    return inner.replace("~1", "/").replace("~0", "~")


def apply(image: Image, changes: list[Change]) -> Image:
    """The image with the changes. Raises Fault 400, 403 or 409."""
    changed = {**image, "properties": dict(image["properties"]), "tags": list(image["tags"])}
    for change in changes:
        if change.name in attributes.READ_ONLY:
            raise Fault(403, f"Attribute '{change.name}' is read-only.")
        if change.name in attributes.FIXED_BY_DATA and image["status"] != "queued":
            raise Fault(403, f"Attribute {change.name} can be only replaced for a queued image.")
        _apply_one(changed, change)
    if len(changed["properties"]) > attributes.MOST_PROPERTIES:
        raise Fault(413, f"More than {attributes.MOST_PROPERTIES} image properties.")
    return changed


def _apply_one(image: Image, change: Change) -> None:
    own = change.name in attributes.WRITABLE
    if change.op == "remove":
        if own:
            raise Fault(403, f"Property {change.name} may not be removed.")
        if change.name not in image["properties"]:
            raise Fault(409, f"Property {shown(change.name)} does not exist.")
        del image["properties"][change.name]
        return
    try:
        value = attributes.check(change.name, change.value)
    except BadValue as wrong:
        raise Fault(400, f"Invalid value for {shown(change.name)}: {wrong}") from wrong
    if own:
        image[change.name] = value
    elif change.op == "replace" and change.name not in image["properties"]:
        raise Fault(409, f"Property {shown(change.name)} does not exist.")
    else:
        image["properties"][change.name] = value

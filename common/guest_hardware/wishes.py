# SPDX-License-Identifier: Apache-2.0
"""Wishes: what a flavor's extra specs and an image's properties ask of a guest's hardware.

Many wishes have two names, `hw:x` for operators and `hw_x` for owners of images. A wish that both
make must be the same one; a maximum of the flavor bounds what the image may ask for.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from common.errors import ImageUnacceptable
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta

_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
_FALSE = frozenset(("0", "f", "false", "off", "n", "no"))


class Wisher(Protocol):
    """A guest, there or not yet."""

    @property
    def flavor(self) -> Flavor: ...

    @property
    def image(self) -> ImageMeta | None: ...


class Wishes:
    """Reads wishes; says which value of which name cannot be had.

    Methods take the flavor's and the image's name of a wish; either may be empty.
    Every method raises: ImageUnacceptable.
    """

    def __init__(self, guest: Wisher) -> None:
        self._specs: Mapping[str, str] = guest.flavor.extra_specs
        self._properties: Mapping[str, str] = guest.image.properties if guest.image else {}
        self._flavor_name = guest.flavor.name
        self._image_id = guest.image.id if guest.image else None

    def of_flavor(self, name: str) -> str | None:
        """An extra spec; None when it is missing or empty."""
        return self._specs.get(name, "").strip() or None

    def of_image(self, name: str) -> str | None:
        """An image property; None when it is missing or empty."""
        return self._properties.get(name, "").strip() or None

    def text(self, spec: str, image: str = "") -> str | None:
        """What flavor and image ask for, when they agree; None when neither asks."""
        ours, theirs = self.of_flavor(spec), self.of_image(image)
        if ours and theirs and ours.lower() != theirs.lower():
            self.refuse(f"{image}={theirs} differs from the flavor's {spec}={ours}")
        return ours or theirs

    def one_of(self, spec: str, image: str, known: Collection[str], default: str) -> str:
        """A word out of `known`."""
        value = (self.text(spec, image) or default).lower()
        if value not in known:
            name = spec if self.of_flavor(spec) else image
            self.refuse(f"{name}={value} is not supported; {', '.join(sorted(known))} are")
        return value

    def switch(self, spec: str, image: str = "", *, default: bool | None = None) -> bool | None:
        """Yes or no; `default` when nobody says."""
        ours, theirs = self._boolean(spec, self._specs), self._boolean(image, self._properties)
        if ours is not None and theirs is not None and ours != theirs:
            self.refuse(f"{image} differs from the flavor's {spec}")
        found = ours if ours is not None else theirs
        return default if found is None else found

    def is_on(self, spec: str, image: str = "", *, default: bool = False) -> bool:
        """`switch`, where silence means something."""
        return bool(self.switch(spec, image, default=default))

    def number(self, source: Mapping[str, str], name: str, *, least: int = 0) -> int | None:
        """A whole number of `specs` or `properties`."""
        value = source.get(name, "").strip()
        if not value:
            return None
        if not value.removeprefix("-").isdecimal() or int(value) < least:
            self.refuse(f"{name}={value} is not a whole number of at least {least}")
        return int(value)

    def bounded(self, most: str, image: str, *, default_most: int | None = None) -> int | None:
        """The image's number, which the flavor's `most` (or `default_most`) bounds."""
        wanted = self.number(self._properties, image)
        limit = self.number(self._specs, most)
        limit = default_most if limit is None else limit
        if wanted is not None and limit is not None and wanted > limit:
            self.refuse(f"{image}={wanted} is more than the flavor's {most} of {limit}")
        return wanted

    def refuse(self, reason: str) -> None:
        """Raises: ImageUnacceptable with the reason."""
        if self._image_id is None:
            text = f"Flavor {self._flavor_name} is unacceptable: {reason}"
            raise ImageUnacceptable(text, image="", reason=reason)
        raise ImageUnacceptable(image=self._image_id, reason=reason)

    @property
    def specs(self) -> Mapping[str, str]:
        """The flavor's extra specs."""
        return self._specs

    @property
    def properties(self) -> Mapping[str, str]:
        """The image's properties."""
        return self._properties

    def _boolean(self, name: str, source: Mapping[str, str]) -> bool | None:
        value = source.get(name, "").strip().lower()
        if not value:
            return None
        if value not in _TRUE | _FALSE:
            self.refuse(f"{name}={value} is neither true nor false")
        return value in _TRUE

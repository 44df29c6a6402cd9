# SPDX-License-Identifier: Apache-2.0
"""JsonList: a long list on its way from the database to an answer, which stays JSON in between."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

import msgspec

T = TypeVar("T")
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class JsonList(Sequence[T]):
    """A list of `kind` as its JSON `text`, an array.

    An item is made each time that it is looked at and not kept, so who goes through a thousand of
    them has one at a time in memory, and who only passes the list on has none.
    """

    def __init__(self, text: bytes, kind: type[T]) -> None:
        self.text = text
        self._decode: Callable[[msgspec.Raw], T] = _decoder(cast("Any", kind))

    @functools.cached_property
    def _items(self) -> list[msgspec.Raw]:
        return _split(self.text)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._decode(item) for item in self._items[index]]
        return self._decode(self._items[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._decode, self._items)


@functools.cache
def _decoder(kind: Any) -> Callable[[msgspec.Raw], Any]:
    return msgspec.json.Decoder(kind).decode

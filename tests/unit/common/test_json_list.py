# SPDX-License-Identifier: Apache-2.0
"""Lists that stay JSON: what they give, and how they cross the bus."""

import msgspec
import pytest

from common.objects.instance import Instance
from common.objects.json_list import JsonList
from common.rpc.conductor.servers import Servers
from common.rpc.interface import decode_reply, encode_reply
from tests import factories

_NAMES = ("a", "b", "c")


@pytest.fixture
def three() -> JsonList[Instance]:
    made = [factories.make_instance(name=name) for name in _NAMES]
    return JsonList(msgspec.json.encode(made), Instance)


def test_its_items_are_objects_by_number_by_slice_and_in_order(three):
    assert len(three) == 3
    assert three[-1] == factories.make_instance(name="c")
    assert [each.name for each in three[1:]] == ["b", "c"]
    assert tuple(each.name for each in three) == tuple(each.name for each in three) == _NAMES
    assert not JsonList(b"[]", Instance)
    with pytest.raises(IndexError):
        three[3]


@pytest.mark.parametrize("count", [0, 1, 100])  # 100 are so long that they travel compressed
def test_it_crosses_the_bus_as_the_list_that_it_is(count):
    made = [factories.make_instance(name=f"{number}") for number in range(count)]
    method = Servers.methods["list_servers"]

    text = encode_reply(JsonList(msgspec.json.encode(made), Instance))

    assert text == encode_reply(made)
    assert text.startswith("+z" if count == 100 else "+[")
    assert list(decode_reply(method, text)) == made


def test_what_is_neither_an_object_nor_json_does_not_travel():
    with pytest.raises(TypeError, match="object does not travel"):
        encode_reply([object()])


def test_an_item_that_is_none_is_refused_when_it_is_looked_at():
    mixed = JsonList(b'[{"uuid": 1}]', Instance)

    assert len(mixed) == 1
    with pytest.raises(msgspec.ValidationError):
        mixed[0]

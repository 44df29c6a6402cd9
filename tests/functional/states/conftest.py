# SPDX-License-Identifier: Apache-2.0
"""A cloud whose servers random actions are done to."""

from collections.abc import Callable, Iterator

import pytest

from tests.functional.cloud import Cloud, make_cloud  # noqa: F401


@pytest.fixture(scope="module")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:  # noqa: F811
    made = make_cloud()
    try:
        made.start()
        made.seed()
        admin = made.connect("admin")
        admin.compute.create_flavor(name="small", ram=128, vcpus=2, disk=2, id="2")
        yield made
    finally:
        made.remove()

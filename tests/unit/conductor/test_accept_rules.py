# SPDX-License-Identifier: Apache-2.0
"""Names of new servers, and whether an image fits: in the words that clients know."""

import pytest

from common.errors import KilonovaError
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from services.conductor.accept.image_fit import check_fit
from services.conductor.accept.names import hostname_of, nth_name

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("web", "web"),
        ("My Web_Server", "my-web-server"),
        ("a.example.org", "a-example-org"),
        ("ubuntu-22.04", "ubuntu-22-04"),
        ("  -.x.- ", "x"),
        ("tür(1)", "tr1"),
        ("日本", "server-u1"),
        ("n" * 80, "n" * 63),
        ("n" * 62 + " x", "n" * 62),
    ],
)
def test_a_hostname_is_what_is_left_of_the_name(name, hostname):
    assert hostname_of(name, "u1") == hostname


def test_servers_of_one_request_are_numbered_when_they_are_several():
    assert nth_name("web", 1, 1) == "web"
    assert [nth_name("web", n, 2) for n in (1, 2)] == ["web-1", "web-2"]


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ({"status": "queued"}, "Image i is not active."),
        ({"min_ram": 1024}, "Flavor's memory is too small for requested image."),
        (
            {"min_disk": 3},
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor "
            "disk is 2147483648 bytes, minimum size is 3221225472 bytes.",
        ),
        (
            {"size": 3 * GIB},
            "Flavor's disk is too small for requested image. Flavor disk is 2147483648 bytes, "
            "image is 3221225472 bytes.",
        ),
        (
            {"size": 1, "virtual_size": 3 * GIB},
            "Flavor's disk is too small for requested image. Flavor disk is 2147483648 bytes, "
            "image is 3221225472 bytes.",
        ),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_numbers(image, text):
    flavor = Flavor(flavorid="1", name="f", vcpus=1, memory_mib=512, root_gib=2)

    with pytest.raises(KilonovaError) as refused:
        check_fit(ImageMeta(id="i", **image), flavor)

    assert (refused.value.kind, str(refused.value)) == ("invalid", text)


def test_a_flavor_without_a_root_disk_takes_any_image():
    flavor = Flavor(flavorid="1", name="f", vcpus=1, memory_mib=512, root_gib=0)

    check_fit(ImageMeta(id="i", size=9 * GIB, min_disk=9), flavor)


def test_an_image_may_forbid_that_its_disk_is_resized():
    image = ImageMeta(id="i", properties={"auto_disk_config": "Disabled"})
    flavor = Flavor(flavorid="1", name="f", vcpus=1, memory_mib=512, root_gib=2)
    check_fit(image, flavor, disk_config="MANUAL")

    with pytest.raises(KilonovaError, match="Requested image i has automatic disk resize disabled"):
        check_fit(image, flavor, disk_config="AUTO")

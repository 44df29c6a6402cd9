# SPDX-License-Identifier: Apache-2.0
"""The image cache: one download an image, nothing half there, nothing unchecked."""

import hashlib
import subprocess
import threading

import msgspec
import pytest

from common.errors import ImageUnacceptable, OperationCancelled, Unavailable
from common.objects.image import ImageMeta
from services.compute.images import CachedImage, ImageCache

DISK = bytes(range(256)) * 16
META = ImageMeta(
    id="img", disk_format="raw", size=len(DISK), checksum=hashlib.md5(DISK).hexdigest()
)


class Source:
    """An image service: gives `content`, waits for `go` first, counts; `breaks` so many times."""

    def __init__(self, content=DISK, breaks=0):
        self.content, self.breaks, self.downloads = content, breaks, 0
        self.go = threading.Event()
        self.go.set()

    def download(self, image_id):
        self.downloads += 1
        self.go.wait(10)
        yield self.content[:1000]
        if self.breaks:
            self.breaks -= 1
            raise Unavailable(service="The image service")
        yield self.content[1000:]


def never():
    """A checkpoint that lets go on."""


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def cache(tmp_path, source):
    return ImageCache(tmp_path, source, most_bytes=1 << 20, pause_s=0)


def change(**values):
    return msgspec.structs.replace(META, **values)


def test_an_image_is_downloaded_once_for_boots_at_the_same_time(cache, source):
    source.go.clear()
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(cache.fetch(META, disk_gib=1, checkpoint=never))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    source.go.set()
    for thread in threads:
        thread.join()

    assert source.downloads == 1
    assert len(set(results)) == 1
    assert cache.path(results[0]).read_bytes() == DISK


def test_an_image_stays_cached_over_a_restart(tmp_path, cache, source):
    cache.fetch(META, disk_gib=1, checkpoint=never)

    ImageCache(tmp_path, source, most_bytes=1 << 20).fetch(META, disk_gib=1, checkpoint=never)

    assert source.downloads == 1


def test_a_broken_download_leaves_nothing_and_the_next_one_works(tmp_path, cache, source):
    source.breaks = 3
    with pytest.raises(Unavailable):
        cache.fetch(META, disk_gib=1, checkpoint=never)
    assert list(tmp_path.iterdir()) == []

    cache.fetch(META, disk_gib=1, checkpoint=never)


def test_a_download_that_breaks_off_is_begun_anew(cache, source):
    source.breaks = 2

    cached = cache.fetch(META, disk_gib=1, checkpoint=never)

    assert source.downloads == 3
    assert cache.path(cached).read_bytes() == DISK


def test_who_waits_for_the_image_service_can_give_up(tmp_path, source):
    def cancelled():
        if source.downloads == 1 and source.breaks == 0:
            raise OperationCancelled(reason="x")

    cache = ImageCache(tmp_path, source, most_bytes=1 << 20, pause_s=3600)
    source.breaks = 1

    with pytest.raises(OperationCancelled):
        cache.fetch(META, disk_gib=1, checkpoint=cancelled)

    assert list(tmp_path.iterdir()) == []


def test_an_image_that_was_damaged_is_fetched_anew(cache, source, caplog):
    cached = cache.fetch(META, disk_gib=1, checkpoint=never)
    cache.path(cached).write_bytes(DISK[:100])

    again = cache.fetch(META, disk_gib=1, checkpoint=never)

    assert cache.path(again).read_bytes() == DISK
    assert source.downloads == 2
    assert "has 100 of its 4096 bytes" in caplog.text


def test_what_a_killed_daemon_left_half_loaded_is_removed(tmp_path, source):
    (tmp_path / "img.part").write_bytes(b"half")

    ImageCache(tmp_path, source, most_bytes=1 << 20)

    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_download_gives_up(tmp_path, cache):
    def cancelled():
        raise OperationCancelled(reason="x")

    with pytest.raises(OperationCancelled):
        cache.fetch(META, disk_gib=1, checkpoint=cancelled)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        (change(status="deactivated"), "its status is deactivated"),
        (change(checksum="0" * 32), "does not match its md5 checksum"),
        (change(hash_algo="sha512", hash_value="0"), "does not match its sha512 checksum"),
        (change(size=len(DISK) + 1, checksum=None), "bytes were received"),
        (change(size=100, checksum=None), "larger than 100 bytes"),
        (change(disk_format="qcow2"), "declared as qcow2"),
    ],
)
def test_a_bad_image_is_refused_and_not_kept(tmp_path, cache, meta, reason):
    with pytest.raises(ImageUnacceptable, match=reason):
        cache.fetch(meta, disk_gib=1, checkpoint=never)

    assert list(tmp_path.iterdir()) == []


def test_an_image_too_big_for_the_flavor_is_refused_with_both_sizes(tmp_path):
    content = bytes(1 << 20)
    sparse = ImageCache(tmp_path, Source(content), most_bytes=1 << 30)
    meta = ImageMeta(id="big", disk_format="raw", size=len(content))
    cached = sparse.fetch(meta, disk_gib=0, checkpoint=never)
    with sparse.path(cached).open("r+b") as file:
        file.truncate((2 << 30) + 1)
    described = tmp_path / "big.json"
    size = (2 << 30) + 1
    grown = msgspec.structs.replace(cached, virtual_size=size, file_bytes=size)
    described.write_bytes(msgspec.json.encode(grown))

    with pytest.raises(ImageUnacceptable, match="needs a disk of 3 GiB and the flavor gives 2 GiB"):
        sparse.fetch(meta, disk_gib=2, checkpoint=never)


def test_old_images_go_unless_a_guest_uses_them(tmp_path, source):
    now = [0.0]
    cache = ImageCache(tmp_path, source, most_bytes=1 << 20, now=lambda: now[0])
    used = cache.fetch(META, disk_gib=1, checkpoint=never)
    unused = cache.fetch(change(id="other"), disk_gib=1, checkpoint=never)
    now[0] = cache.path(used).stat().st_mtime + 100

    cache.prune(lambda: {"img"}, keep_s=1000)
    assert cache.path(unused).exists()
    cache.prune(lambda: {"img"}, keep_s=50)

    assert cache.path(used).exists()
    assert not cache.path(unused).exists()


def test_an_image_of_another_hosts_cache_is_looked_at_before_it_is_kept(tmp_path, source):
    cache = ImageCache(tmp_path / "cache", source, most_bytes=1 << 20)
    theirs = CachedImage(image_id="gone", file_name="else.raw", format="raw", virtual_size=4096)

    adopted = cache.adopt(theirs, lambda path: path.write_bytes(DISK), never)

    assert cache.path(adopted).read_bytes() == DISK
    assert cache.find("gone") == adopted
    assert cache.adopt(theirs, lambda path: path.write_bytes(b""), never) == adopted
    hostile = msgspec.structs.replace(theirs, image_id="bad")
    with pytest.raises(ImageUnacceptable):
        cache.adopt(hostile, lambda path: path.write_bytes(b"QFI\xfb" + DISK), never)
    assert cache.find("bad") is None
    assert list(tmp_path.glob("cache/*part")) == []


def test_a_small_file_with_a_huge_disk_is_not_unpacked(tmp_path):
    bomb = tmp_path / "bomb.vdi"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", bomb, "500G"], check=True)
    cache = ImageCache(tmp_path / "cache", Source(bomb.read_bytes()), most_bytes=1 << 30)
    meta = ImageMeta(id="bomb", disk_format="vdi")

    for disk_gib, most in ((20, 20), (0, 1)):
        with pytest.raises(ImageUnacceptable, match=f"of 500 GiB and the flavor gives {most} GiB"):
            cache.fetch(meta, disk_gib=disk_gib, checkpoint=never)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cd_is_kept_as_it_is(tmp_path):
    content = bytes(0x8001) + b"CD001" + bytes(4096)
    cache = ImageCache(tmp_path, Source(content), most_bytes=1 << 20)

    cached = cache.fetch(ImageMeta(id="cd", disk_format="iso"), disk_gib=0, checkpoint=never)

    assert cached.format == "raw"
    assert cache.path(cached).read_bytes() == content

# SPDX-License-Identifier: Apache-2.0
"""What goes on behind requests: it survives a kill, keeps its order, and copies one moment."""

import os
import threading

import pytest

from services.companion.volume import sparse
from services.companion.volume.backend import ImageData
from services.companion.volume.jobs import Interrupted, WorkFailed
from services.companion.volume.local_files import LocalFiles
from tests.unit.companion.volumes import (
    GIB,
    V3,
    at,
    attach,
    begins_with,
    create,
    file_of,
    image,
    request_volume,
    show,
    snapshot,
    status,
    volume_settings,
)


@pytest.fixture
def idle(cloud):
    """A companion that accepts and does nothing: as if it were killed before each job."""
    cloud.restart(volume_settings(cloud.settings, workers=0))
    return cloud


def go_on(cloud):
    cloud.restart(volume_settings(cloud.settings, workers=2))
    cloud.settle()


def test_a_volume_left_in_creating_is_finished_by_the_next_start(idle):
    made = request_volume(idle, imageRef=image(idle, b"data")["id"]).json["volume"]
    before = status(idle, made)

    go_on(idle)

    assert (before, status(idle, made)) == ("creating", "available")
    assert begins_with(file_of(idle, made), b"data")


def test_everything_that_was_under_way_ends(cloud):
    volumes = [create(cloud, name=str(n)) for n in range(6)]
    source = image(cloud, b"new")
    taken = snapshot(cloud, volumes[4])
    cloud.restart(volume_settings(cloud.settings, workers=0))
    for volume, action, body in (
        (volumes[1], "os-extend", {"new_size": 2}),
        (volumes[2], "os-reimage", {"image_id": source["id"]}),
        (volumes[3], "os-volume_upload_image", {"image_name": "i", "disk_format": "raw"}),
        (volumes[4], "revert", {"snapshot_id": taken["id"]}),
    ):  # fmt: skip
        begun = cloud.post(f"{V3}/volumes/{volume['id']}/action", {action: body}, user="demo",
                           headers=at("3.71"))  # fmt: skip
        assert begun.status_code == 202, begun.text
    cloud.delete(f"{V3}/volumes/{volumes[0]['id']}", user="demo")
    cloud.post(f"{V3}/snapshots", {"snapshot": {"volume_id": volumes[5]["id"]}}, user="demo")
    under_way = [status(cloud, volume) for volume in volumes]

    go_on(cloud)

    assert under_way == [
        "deleting",
        "extending",
        "downloading",
        "uploading",
        "reverting",
        "available",
    ]
    listed = cloud.get(f"{V3}/volumes/detail", user="demo").json["volumes"]
    assert {v["status"] for v in listed} == {"available"}
    assert len(listed) == 5
    snapshots = cloud.get(f"{V3}/snapshots", user="demo").json["snapshots"]
    assert [each["status"] for each in snapshots] == ["available", "available"]
    assert show(cloud, volumes[1]["id"])["size"] == 2


def test_a_source_is_not_deleted_before_it_was_copied(idle):
    go_on(idle)
    source = create(idle, imageRef=image(idle, b"data")["id"])
    taken = snapshot(idle, source)
    idle.restart(volume_settings(idle.settings, workers=0))
    of_volume = request_volume(idle, source_volid=source["id"]).json["volume"]
    of_snapshot = request_volume(idle, snapshot_id=taken["id"]).json["volume"]
    deleted = idle.delete(f"{V3}/volumes/{source['id']}?cascade=true", user="demo")

    go_on(idle)

    assert deleted.status_code == 202
    assert idle.get(f"{V3}/volumes/{source['id']}").status_code == 404
    assert [status(idle, volume) for volume in (of_volume, of_snapshot)] == ["available"] * 2
    assert begins_with(file_of(idle, of_volume), b"data")
    assert begins_with(file_of(idle, of_snapshot), b"data")


def test_a_volume_deleted_by_force_while_it_is_made_is_gone(idle):
    made = request_volume(idle).json["volume"]
    idle.post(f"{V3}/volumes/{made['id']}/action", {"os-force_delete": {}})

    go_on(idle)

    assert idle.get(f"{V3}/volumes/{made['id']}").status_code == 404
    assert not file_of(idle, made).exists()


def test_an_administrators_word_stands_against_work_that_ends_later(idle):
    made = request_volume(idle).json["volume"]
    idle.post(f"{V3}/volumes/{made['id']}/action", {"os-reset_status": {"status": "error"}})

    go_on(idle)

    assert status(idle, made) == "error"


def test_a_volume_detached_while_it_grows_is_free_afterwards(cloud):
    volume = create(cloud)
    attachment = attach(cloud, volume, "server-1")
    cloud.restart(volume_settings(cloud.settings, workers=0))
    cloud.post(f"{V3}/volumes/{volume['id']}/action", {"os-extend": {"new_size": 2}}, user="demo",
               headers=at("3.42"))  # fmt: skip
    cloud.delete(f"{V3}/attachments/{attachment['id']}", headers=at("3.44"))

    go_on(cloud)

    assert (status(cloud, volume), show(cloud, volume["id"])["size"]) == ("available", 2)


def test_a_start_clears_away_halves_and_leaves_what_it_does_not_know(cloud, caplog):
    folder = cloud.settings.data_path / "volumes"
    (folder / ".part-volume-1-x").write_bytes(b"half")
    (folder / "volume-lost").write_bytes(b"somebody's")

    cloud.restart()

    assert [path.name for path in folder.iterdir()] == ["volume-lost"]
    assert "volume-lost belongs to no volume" in caplog.text


# --- files -----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    return LocalFiles(tmp_path / "volumes")


@pytest.fixture
def going():
    return threading.Event()


def test_holes_stay_holes(files, going):
    files.create("a", GIB)
    with files.path("a").open("r+b") as file:
        for place in (0, GIB // 2, GIB - 4):
            file.seek(place)
            file.write(b"data")

    files.copy("a", "b", 2 * GIB, going)

    with files.path("b").open("rb") as file:
        for place in (0, GIB // 2, GIB - 4):
            file.seek(place)
            assert file.read(4) == b"data"
    assert files.path("b").stat().st_size == 2 * GIB
    assert files.path("b").stat().st_blocks < 128


def shares_blocks(folder):
    (folder / "probe").write_bytes(b"x")
    with (folder / "probe").open("rb") as one, (folder / "other").open("wb") as two:
        return sparse.copy(one.fileno(), two.fileno(), threading.Event())


class Writing(threading.Event):
    """Somebody writes to the file whenever the copy looks whether it is to stop, or waits."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    def is_set(self):
        with self._path.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"x" * 4096, 0)
        return False

    def wait(self, timeout=None):
        return self.is_set()


def test_a_copy_of_what_never_rests_is_refused(files, tmp_path, going):
    if shares_blocks(tmp_path):
        pytest.skip("this file system copies at once")
    files.create("busy", 64 << 20)
    files.path("busy").write_bytes(b"data" * (1 << 20))

    with pytest.raises(WorkFailed, match="written to all the time"):
        files.copy("busy", "copy", 64 << 20, Writing(files.path("busy")))

    assert [path.name for path in (tmp_path / "volumes").iterdir()] == ["busy"]
    files.copy("busy", "copy", 64 << 20, going)


def test_a_stop_interrupts_a_copy_and_leaves_nothing(files, tmp_path, going):
    files.create("a", GIB)
    with files.path("a").open("r+b") as file:
        file.write(b"data")
    if shares_blocks(tmp_path):
        pytest.skip("this file system copies at once")
    going.set()

    with pytest.raises(Interrupted):
        files.copy("a", "b", GIB, going)

    assert [path.name for path in (tmp_path / "volumes").iterdir()] == ["a"]


def test_each_step_may_run_twice(files, tmp_path, going):
    (tmp_path / "image").write_bytes(b"image")
    data = ImageData("i", tmp_path / "image", "raw")

    for _ in range(2):
        files.create("a", GIB)
        files.write_image("a", GIB, data, going)
        files.copy("a", "b", GIB, going)
        files.extend("a", 2 * GIB)
        files.disconnect("a", {})
    assert begins_with(files.path("b"), b"image")
    for _ in range(2):
        files.remove("a")

    assert not files.path("a").exists()


def test_what_is_gone_is_said_to_be_gone(files, tmp_path, going):
    for fail in (
        lambda: files.copy("nothing", "b", GIB, going), lambda: files.extend("nothing", GIB),
        lambda: files.write_image("b", GIB, ImageData("i", tmp_path / "no", "raw"), going),
    ):  # fmt: skip
        with pytest.raises(WorkFailed):
            fail()


def test_without_room_there_is_a_reason(files, going):
    with pytest.raises(WorkFailed, match="no room|File too large"):
        files.create("huge", 1 << 62)


def test_without_qemu_img_raw_images_still_work(files, tmp_path, going, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "image").write_bytes(b"image")

    files.write_image("a", GIB, ImageData("i", tmp_path / "image", "raw"), going)

    assert begins_with(files.path("a"), b"image")
    with pytest.raises(WorkFailed, match="qemu-img is not installed"):
        files.write_image("b", GIB, ImageData("i", tmp_path / "image", "qcow2"), going)

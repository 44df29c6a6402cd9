# SPDX-License-Identifier: Apache-2.0
"""The pages of the console daemon, as they stand in a folder."""

import pytest

from common.errors import Invalid
from services.console import files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "novnc" / "core").mkdir(parents=True)
    (tmp_path / "novnc" / "vnc.html").write_text("<html>")
    (tmp_path / "novnc" / "core" / "rfb.js").write_text("1;")
    (tmp_path / "novnc" / "auto.html").symlink_to("vnc.html")
    (tmp_path / "novnc" / "gone.html").symlink_to("nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pako.js").write_text("2;")
    (tmp_path / "novnc" / "vendor").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "novnc"


def test_files_are_found_by_their_path_also_those_of_other_packages(folder):
    found = files.read(str(folder))

    assert set(found.by_path) == {"/vnc.html", "/auto.html", "/core/rfb.js", "/vendor/pako.js"}
    assert found.get("/auto.html").is_page
    assert not found.get("/core/rfb.js").is_page
    assert found.get("/../elsewhere/pako.js") is None


def test_a_folder_that_is_not_there_has_no_pages(tmp_path):
    assert files.read(str(tmp_path / "none")).by_path == {}


def test_a_folder_that_was_not_meant_is_not_read_into_memory(tmp_path):
    with (tmp_path / "disk").open("wb") as disk:
        disk.truncate(65 << 20)

    with pytest.raises(Invalid, match="not the folder"):
        files.read(str(tmp_path))


def test_a_folder_that_holds_itself_is_no_endless_walk(tmp_path):
    (tmp_path / "vnc.html").write_text("<html>")
    (tmp_path / "again").symlink_to(tmp_path)

    assert files.read(str(tmp_path)).get("/vnc.html").content == b"<html>"

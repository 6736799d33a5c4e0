"""Folders that are complete or absent."""

import os
import time

import pytest

from yolo26_attention.files.building import STALE_SECONDS, build_folder, discard_folder


def test_a_folder_appears_when_it_is_complete(tmp_path):
    folder = tmp_path / "sets" / "a"
    with build_folder(folder) as building:
        (building / "file").write_text("x")
        assert not folder.exists()
    assert (folder / "file").read_text() == "x"
    assert os.listdir(folder.parent) == ["a"]


def test_a_build_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(IsADirectoryError), build_folder(tmp_path / "a") as building:
        building.write_text("x")
    assert os.listdir(tmp_path) == []


def test_of_several_builders_the_first_wins(tmp_path):
    with build_folder(tmp_path / "a") as slow:
        (slow / "file").write_text("slow")
        with build_folder(tmp_path / "a") as fast:
            (fast / "file").write_text("fast")
    assert (tmp_path / "a/file").read_text() == "fast"
    assert os.listdir(tmp_path) == ["a"]


def test_what_stands_in_the_way_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), build_folder(tmp_path / "file" / "a"):
        pass


@pytest.mark.parametrize(("age", "stays"), [(STALE_SECONDS + 60, False), (60, True)])
def test_what_a_killed_builder_left_goes_once_it_is_old(tmp_path, age, stays):
    left = tmp_path / ".a.0123456789ab"
    left.mkdir()
    os.utime(left, (time.time() - age,) * 2)
    with build_folder(tmp_path / "a"):
        pass
    assert left.exists() == stays


def test_a_discarded_folder_is_gone_and_may_be_gone_already(tmp_path):
    (tmp_path / "a").mkdir()
    discard_folder(tmp_path / "a")
    discard_folder(tmp_path / "a")
    assert os.listdir(tmp_path) == []

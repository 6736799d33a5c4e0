"""Runs of earlier versions of this program are found again, and only where they are the same experiment."""

import json
import math
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from yolo26_attention.config.run_config import OwnPlaceboConfig
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.record import Record
from yolo26_attention.plan.earlier import place_of
from yolo26_attention.plan.identity import VERSION, identity, readable_name
from yolo26_attention.plan.identity_v0 import identity_v0

BEGAN = 1_000_000.0


def dataset(identity="content", sizes="sizes", changed_at=BEGAN - 1):
    return SimpleNamespace(identity=identity, sizes_identity=sizes, changed_at=changed_at)


def put_old(runs, config, sizes="sizes", began=BEGAN):
    """A run of an earlier version, with a journal that begins at a time."""
    folder = runs / f"{readable_name(config)}-{identity_v0(config.plain(), sizes, None)}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    if began is not None:
        (folder / "journal.jsonl").write_text(json.dumps({"event": "weights", "time": began}) + "\n")
    return folder


@pytest.fixture
def config(composed):
    return composed("attention=acmix", "placement=p3")


@pytest.fixture
def own(composed):
    return composed("attention=acmix", "placement=p3", "data.yaml=/a/pets.yaml")


def new_folder(runs, config, data="content"):
    return runs / f"{readable_name(config)}-{identity(config.plain(), data, None)}"


def test_a_new_run_has_a_folder_by_its_identity(config, tmp_path):
    place = place_of(tmp_path, config, dataset(), None)
    assert (place.folder, place.identity_version) == (new_folder(tmp_path, config), VERSION)
    assert place.folder.name.endswith(place.run_id)
    assert (place.replaces, place.remark) == (None, None)


def test_an_old_run_stands_for_the_same_experiment(config, tmp_path):
    old = put_old(tmp_path, config)
    place = place_of(tmp_path, config, dataset(changed_at=math.inf), None)  # the embedded set goes by its content
    assert (place.folder, place.identity_version) == (old, 0)
    assert old.name.endswith(place.run_id)
    assert "earlier version" in place.remark
    assert place_of(tmp_path, replace(config, seed=1), dataset(), None).identity_version == VERSION


def test_a_run_that_is_there_goes_before_an_old_one(config, tmp_path):
    put_old(tmp_path, config)
    new_folder(tmp_path, config).mkdir()
    assert place_of(tmp_path, config, dataset(), None).folder == new_folder(tmp_path, config)


def test_an_old_folder_without_a_record_is_no_run(config, tmp_path):
    (put_old(tmp_path, config) / "record.json").unlink()
    assert place_of(tmp_path, config, dataset(), None).identity_version == VERSION


def test_an_old_run_that_is_trained_anew_makes_place_for_one_under_the_new_identity(config, tmp_path):
    old = put_old(tmp_path, config)
    place = place_of(tmp_path, replace(config, force=True), dataset(), None)
    assert (place.folder, place.replaces) == (new_folder(tmp_path, config), old)


def test_a_set_of_ones_own_is_recognised_while_no_file_changed_and_that_is_said(own, tmp_path):
    old = put_old(tmp_path, own)
    place = place_of(tmp_path, own, dataset(), None)
    assert place.folder == old
    assert "recognised by names, sizes and dates" in place.remark


@pytest.mark.parametrize("changed_at", [BEGAN, BEGAN + 1])
def test_a_set_that_changed_after_the_run_began_is_not_recognised_and_that_is_said(changed_at, own, tmp_path):
    old = put_old(tmp_path, own)
    place = place_of(tmp_path, own, dataset(changed_at=changed_at), None)
    assert place.folder == new_folder(tmp_path, own)
    assert f"{old} is not reused for this run: it began at" in place.remark


def test_a_set_of_ones_own_and_a_journal_that_does_not_say_when_it_began(own, tmp_path):
    put_old(tmp_path, own, began=None)
    place = place_of(tmp_path, own, dataset(), None)
    assert place.folder == new_folder(tmp_path, own)
    assert "has no start time" in place.remark


def test_other_weights_are_another_run(config, tmp_path):
    earlier = tmp_path / f"{readable_name(config)}-{identity_v0(config.plain(), 'sizes', 'of weights')}"
    earlier.mkdir()
    (earlier / "record.json").write_text("{}")
    assert place_of(tmp_path, config, dataset(), "of weights").folder == earlier
    assert place_of(tmp_path, config, dataset(), None).folder != earlier


@pytest.mark.parametrize(("cache", "taken"), [("ram", False), (True, False), ("disk", True), (False, True)])
def test_a_run_that_kept_its_images_in_memory_is_not_taken_for_one_that_does_not(cache, taken, config, tmp_path):
    old = put_old(tmp_path, config)
    trained = replace(config, trainer=replace(config.trainer, cache=cache))
    Record("1", old.name, "s", 0, trained.plain(), "finished").write(old)
    place = place_of(tmp_path, config, dataset(), None)
    assert (place.folder == old) is taken
    assert taken or "trainer.cache=ram" in place.remark


def test_other_sizes_are_another_set(own, tmp_path):
    put_old(tmp_path, own)
    assert place_of(tmp_path, own, dataset(sizes="others"), None).remark is None


class Unreadable:
    identity, changed_at = "content", BEGAN - 1

    @property
    def sizes_identity(self):
        return b"\xff".decode()


def test_a_set_that_could_not_be_read_then_has_no_old_run(own, tmp_path):
    put_old(tmp_path, own)
    assert place_of(tmp_path, own, Unreadable(), None).identity_version == VERSION


@pytest.fixture
def mine(config, tmp_path, monkeypatch):
    """A class of one's own, in a file that imports another one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "earlier_parts.py").write_text("SCALE = 1\n")
    (folder / "earlier_mine.py").write_text("from earlier_parts import SCALE\nclass Mine:\n    scale = SCALE\n")
    for path in folder.iterdir():
        os.utime(path, (BEGAN - 1, BEGAN - 1))
    monkeypatch.syspath_prepend(folder)
    attention = {"name": "mine", "_target_": "earlier_mine.Mine", "scale": 2.0}
    yield replace(config, attention={**attention, "source": "of all files"}), folder
    for name in ("earlier_mine", "earlier_parts"):
        sys.modules.pop(name, None)


def put_old_mine(runs, config, folder):
    source = file_digest(folder / "earlier_mine.py")
    return put_old(runs, replace(config, attention={**config.attention, "source": source}))


def test_a_class_of_ones_own_is_recognised_by_its_file(mine, tmp_path):
    config, folder = mine
    old = put_old_mine(tmp_path, config, folder)
    assert place_of(tmp_path, config, dataset(), None).folder == old


def test_a_class_whose_imports_changed_after_the_run_began_is_not(mine, tmp_path):
    config, folder = mine
    put_old_mine(tmp_path, config, folder)
    os.utime(folder / "earlier_parts.py", (BEGAN + 1, BEGAN + 1))
    place = place_of(tmp_path, config, dataset(), None)
    assert place.identity_version == VERSION
    assert "what it imports, changed at" in place.remark


def test_a_placebo_of_a_class_of_ones_own_asks_for_its_file_too(composed, mine, tmp_path):
    _, folder = mine
    config = composed("attention=placebo", "placement=p3")
    config = replace(config, placebo=OwnPlaceboConfig("earlier_mine.Mine", {}, source="of all files"))
    put_old(tmp_path, config)
    assert place_of(tmp_path, config, dataset(), None).identity_version == 0
    os.utime(folder / "earlier_mine.py", (BEGAN + 1, BEGAN + 1))
    assert place_of(tmp_path, config, dataset(), None).identity_version == VERSION


def put_run_by_imports_at_import(runs, config, folder, began=BEGAN):
    """A run by an identity of today that left out what only a function of the class imports."""
    (folder / "earlier_mine.py").write_text("class Mine:\n    def forward(self):\n        import earlier_parts\n")
    for path in folder.glob("*.py"):
        os.utime(path, (BEGAN - 1, BEGAN - 1))
    source = file_digest(folder / "earlier_mine.py")
    run = new_folder(runs, replace(config, attention={**config.attention, "source": source}))
    run.mkdir(parents=True)
    (run / "record.json").write_text("{}")
    (run / "journal.jsonl").write_text(json.dumps({"event": "weights", "time": began}) + "\n")
    return run


def test_a_run_whose_identity_left_out_what_a_function_imports_is_recognised_while_no_file_changed(mine, tmp_path):
    config, folder = mine
    run = put_run_by_imports_at_import(tmp_path, config, folder)
    place = place_of(tmp_path, config, dataset(changed_at=math.inf), None)
    assert (place.folder, place.identity_version) == (run, VERSION)
    assert run.name.endswith(place.run_id)
    os.utime(folder / "earlier_parts.py", (BEGAN + 1, BEGAN + 1))
    place = place_of(tmp_path, config, dataset(), None)
    assert place.folder == new_folder(tmp_path, config)
    assert "what it imports, changed at" in place.remark


def test_a_run_keeps_the_folder_that_was_named_after_data_yaml(composed, tmp_path):
    config = composed("attention=acmix", "placement=p3", "data.yaml=/my/fruits/data.yaml")
    config = replace(config, data=replace(config.data, name="data"))
    run_id = identity(config.plain(), "content", None)
    assert place_of(tmp_path, config, dataset(), None).folder.name == f"acmix-p3-yolo26n-fruits-s0-{run_id}"
    old = tmp_path / f"acmix-p3-yolo26n-data-s0-{run_id}"
    old.mkdir()
    (old / "record.json").write_text("{}")
    assert place_of(tmp_path, config, dataset(), None).folder == old

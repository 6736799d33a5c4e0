"""What a training hands over to its run, in training.json or, from an earlier version, in its journal."""

import pytest

from tests.fabricate import GROUPS, match_of
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import Kind, append_entry, read_journal
from yolo26_attention.files.model import LoadedTensors
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.files.typed import plain

START = TrainingStart(
    LoadedTensors(loaded=690, total=708, lost=["model.16.cv1.conv.weight"], graft_loaded=0),
    {"p3": match_of(-0.01)},
    GROUPS,
    {"batch": 8, "frozen": {"layers": {"0": 3}, "attention": []}},
)


def test_it_is_read_as_it_was_written(tmp_path):
    path = RunFolder(tmp_path).start
    assert TrainingStart.read(path) is None
    START.write(path)
    assert TrainingStart.read(path) == START


@pytest.mark.parametrize("text", ["", "{", "{}", '{"weights": 1}'])
def test_a_damaged_file_is_said_with_a_way_out(text, tmp_path):
    path = RunFolder(tmp_path).start
    path.write_text(text)
    with pytest.raises(ValueError, match=r"training.json is damaged .*; remove the run's folder to train it anew"):
        TrainingStart.read(path)


def noted(journal, start, decided=True):
    """The journal of a training of an earlier version."""
    append_entry(journal, Kind.WEIGHTS, **plain(start.weights))
    append_entry(journal, Kind.GRAFT, placebo=plain(start.placebo))
    append_entry(journal, Kind.OPTIMIZER, groups=plain(start.optimizer))
    if decided:
        append_entry(journal, Kind.TRAINING, decided={"batch": 16})
        append_entry(journal, Kind.TRAINING, decided=start.decided)
    append_entry(journal, Kind.EPOCH, epoch=1)
    return read_journal(journal)


def test_a_journal_of_an_earlier_version_says_the_same(tmp_path):
    assert TrainingStart.from_journal(noted(tmp_path / "journal.jsonl", START)) == START


def test_the_first_versions_did_not_say_what_was_decided(tmp_path):
    assert TrainingStart.from_journal(noted(tmp_path / "journal.jsonl", START, decided=False)).decided == {}


def test_a_journal_without_a_start_is_said_with_a_way_out(tmp_path):
    entries = [entry for entry in noted(tmp_path / "journal.jsonl", START) if entry.event != Kind.GRAFT]
    with pytest.raises(ValueError, match=r"the journal has no entry graft; remove the run's folder"):
        TrainingStart.from_journal(entries)

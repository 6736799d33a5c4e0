"""The journal of a run survives cuts, and going back to an earlier epoch."""

import json
import os
from unittest import mock

import pytest

from yolo26_attention.files.journal import (
    Entry,
    Kind,
    append_entry,
    epoch_seconds,
    read_journal,
    restore_journal,
    training_seconds,
)


def test_journal_cut_short_is_read_up_to_there(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps({"event": "epoch", "epoch": 1}) + '\n{"event": "epo')
    assert [(entry.event, dict(entry.details)) for entry in read_journal(path)] == [("epoch", {"epoch": 1})]


def test_restored_it_forgets_later_epochs_and_keeps_what_happened_to_the_processes(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, Kind.EPOCH, epoch=1)
    append_entry(path, Kind.RESUME, epoch=2)
    text = path.read_text()
    append_entry(path, Kind.NAN_RECOVERY, epoch=2)
    append_entry(path, Kind.EPOCH, epoch=2)
    append_entry(path, Kind.CHECKPOINT_DAMAGED, epoch=2)
    append_entry(path, Kind.RESUME, epoch=2)
    restore_journal(path, text)
    assert [(entry.event, entry.details["epoch"]) for entry in read_journal(path)] == [
        ("epoch", 1),
        ("resume", 2),
        ("checkpoint_damaged", 2),
        ("resume", 2),
    ]


def test_restored_it_has_lines_that_were_lost(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, Kind.EPOCH, epoch=1)
    text = path.read_text()
    path.write_bytes(b"")
    restore_journal(path, text)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("entries", "seconds"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([(Kind.TRAINING, 0.0)], None, id="no-epoch"),
        pytest.param([(Kind.EPOCH, 9.0)], None, id="its-begin-is-not-known"),
        pytest.param([(Kind.TRAINING, 0.0), (Kind.EPOCH, 9.0)], 9.0, id="first"),
        pytest.param(
            [(Kind.TRAINING, 0.0), *((Kind.EPOCH, 90.0 + 2 * n) for n in range(6))], 2.0, id="the-first-is-forgotten"
        ),
        pytest.param(
            [(Kind.TRAINING, 0.0), (Kind.EPOCH, 3.0), (Kind.RESUME, 900.0), (Kind.EPOCH, 903.0)],
            3.0,
            id="the-time-between-processes-does-not-count",
        ),
        pytest.param(
            [(Kind.TRAINING, 0.0), (Kind.EPOCH, 4.0), (Kind.TRACKING_LOST, 5.0), (Kind.EPOCH, 8.0)],
            4.0,
            id="other-events-are-part-of-an-epoch",
        ),
        pytest.param([(Kind.TRAINING, 50.0), (Kind.EPOCH, 4.0), (Kind.EPOCH, 9.0)], 5.0, id="the-clock-was-set-back"),
    ],
)
def test_how_long_an_epoch_takes(entries, seconds):
    assert epoch_seconds([Entry(kind, time) for kind, time in entries]) == seconds


def test_how_long_the_epochs_of_all_processes_took():
    times = [(Kind.TRAINING, 0.0), (Kind.EPOCH, 3.0), (Kind.EPOCH, 5.0), (Kind.RESUME, 900.0), (Kind.EPOCH, 904.0)]
    assert training_seconds([Entry(kind, time) for kind, time in times]) == 9.0
    assert training_seconds([]) == 0


def cut_journal(folder):
    path = folder / "journal.jsonl"
    append_entry(path, Kind.EPOCH, epoch=1)
    append_entry(path, Kind.EPOCH, epoch=2)
    os.truncate(path, path.stat().st_size - 9)  # a process was killed while it wrote
    return path


def test_the_line_behind_a_cut_one_is_not_lost(tmp_path, caplog):
    path = cut_journal(tmp_path)
    append_entry(path, Kind.NAN_RECOVERY, epoch=2)
    append_entry(path, Kind.EPOCH, epoch=2)
    assert [(entry.event, entry.details["epoch"]) for entry in read_journal(path)] == [
        ("epoch", 1),
        ("nan_recovery", 2),
        ("epoch", 2),
    ]
    assert caplog.messages == [f"{path}: line 2 is damaged and skipped; it was truncated or overwritten"]


def test_a_line_that_lacks_only_its_end_counts(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, Kind.EPOCH, epoch=1)
    os.truncate(path, path.stat().st_size - 1)
    append_entry(path, Kind.EPOCH, epoch=2)
    assert [entry.details["epoch"] for entry in read_journal(path)] == [1, 2]


def test_a_last_line_that_is_being_written_is_no_damage(tmp_path, caplog):
    assert [entry.details["epoch"] for entry in read_journal(cut_journal(tmp_path))] == [1]
    assert caplog.messages == []


@pytest.mark.parametrize("line", ["\x00" * 40, "[1]", "7", "{}", '{"no": "event"}', "\ufffd"])
def test_a_line_that_is_no_entry_is_left_out(line, tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, Kind.EPOCH, epoch=1)
    with path.open("a") as file:
        file.write(line + "\n\n")
    append_entry(path, Kind.EPOCH, epoch=2)
    assert [entry.details["epoch"] for entry in read_journal(path)] == [1, 2]


def test_damage_is_said_once_though_the_journal_is_read_each_epoch(tmp_path, caplog):
    path = cut_journal(tmp_path)
    append_entry(path, Kind.EPOCH, epoch=2)
    for _ in range(3):
        read_journal(path)
    assert len(caplog.messages) == 1


def test_a_line_is_flushed_to_disk(tmp_path):
    with mock.patch("yolo26_attention.files.journal.os.fsync") as flushed:
        append_entry(tmp_path / "journal.jsonl", Kind.EPOCH, epoch=1)
    assert flushed.call_count == 1


def test_a_journal_kept_with_a_damaged_line_is_restored(tmp_path):
    path = cut_journal(tmp_path)
    append_entry(path, Kind.EPOCH, epoch=2)
    restore_journal(path, path.read_text())
    assert [entry.details["epoch"] for entry in read_journal(path)] == [1, 2]
    assert path.read_text().count("\n") == 2

"""The journal of a run survives cuts, and going back to an earlier epoch."""

import json

from src.journal import append_entry, read_journal, restore_journal


def test_journal_cut_short_is_read_up_to_there(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps({"event": "epoch", "epoch": 1}) + '\n{"event": "epo')
    assert read_journal(path) == [{"event": "epoch", "epoch": 1}]


def test_restored_it_forgets_later_epochs_and_keeps_what_happened_to_the_processes(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, "epoch", epoch=1)
    append_entry(path, "resume", epoch=2)
    text = path.read_text()
    append_entry(path, "nan_recovery", epoch=2)
    append_entry(path, "epoch", epoch=2)
    append_entry(path, "resume", epoch=2)
    restore_journal(path, text)
    assert [(entry["event"], entry["epoch"]) for entry in read_journal(path)] == [
        ("epoch", 1),
        ("resume", 2),
        ("resume", 2),
    ]


def test_restored_it_has_lines_that_were_lost(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_entry(path, "epoch", epoch=1)
    text = path.read_text()
    path.write_bytes(b"")
    restore_journal(path, text)
    assert path.read_text() == text

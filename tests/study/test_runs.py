"""The one reader of a study's runs: what status says of a run, the report says too."""

import dataclasses
import json
import re

import pytest

from tests.fabricate import config_of, write_run
from tests.study.test_progress import entry, put
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.record import FORMAT, Record
from yolo26_attention.files.typed import plain
from yolo26_attention.reporting.study import StudyError
from yolo26_attention.reporting.study import read_study as read_for_report
from yolo26_attention.study import runs
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.progress import best, run_states, time_left
from yolo26_attention.study.runs import (
    StudyFile,
    entry_of,
    find_run,
    not_listed,
    read_study,
    shared_by,
    study_file,
    write_study,
)
from yolo26_attention.study.text import status


def study_of(output_dir, *runs):
    write_study(output_dir, "s", "What?", "python -m src.sweep s", [entry(run) for run in runs])


def damaged(text):
    def happens(output_dir):
        put(output_dir, "a", "finished")
        (output_dir / "runs" / "a" / "record.json").write_text(text)

    return happens


@pytest.mark.parametrize(
    ("happens", "state", "why"),
    [
        pytest.param(damaged("{"), "unreadable", "is not a record", id="cut"),
        pytest.param(damaged(""), "unreadable", "is not a record", id="empty"),
        pytest.param(damaged("[]"), "unreadable", "it holds a list", id="a list"),
        pytest.param(damaged('{"format": 99}'), "unreadable", "has format 99.*upgrade the program", id="newer"),
        pytest.param(lambda output_dir: put(output_dir, "a", "finished"), "finished", None, id="finished"),
        pytest.param(lambda output_dir: put(output_dir, "a", "running"), "interrupted", "was killed", id="killed"),
        pytest.param(lambda output_dir: put(output_dir, "a", "interrupted"), "interrupted", "is interr", id="stopped"),
        pytest.param(lambda output_dir: put(output_dir, "a", "failed", error="E"), "failed", "E", id="failed"),
        pytest.param(lambda output_dir: None, "pending", "not started", id="pending"),
    ],
)
def test_status_and_report_agree(happens, state, why, tmp_path):
    happens(tmp_path)
    study_of(tmp_path, "a")
    (seen,) = run_states(tmp_path, read_study(tmp_path, "s").runs)
    (reported,) = read_for_report("s", tmp_path).runs
    assert (seen.state, reported.status) == (state, state)
    assert f"1 {state}" in status(tmp_path, "s")
    if why is None:
        assert reported.problem is None
    else:
        assert re.search(why, reported.problem)


def test_while_a_process_is_at_it_both_say_running(tmp_path):
    put(tmp_path, "a", "interrupted")
    study_of(tmp_path, "a")
    with run_lock(tmp_path / "locks" / "a.lock"):
        assert find_run(tmp_path, "a").state == "running"
        assert read_for_report("s", tmp_path).runs[0].status == "running"


def test_status_says_why_a_record_cannot_be_read_and_nothing_waits_for_it(tmp_path):
    damaged("{")(tmp_path)
    study_of(tmp_path, "a")
    text = status(tmp_path, "s")
    assert "unreadable: acmix, seed 0: " in text
    assert "move" in text
    (seen,) = run_states(tmp_path, [entry("a")])
    assert time_left([seen]).seconds == 0.0


def test_a_finished_run_without_a_score_is_no_error(tmp_path):
    put(tmp_path, "a", "finished")
    path = tmp_path / "runs" / "a" / "record.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "metrics": {}}))
    study_of(tmp_path, "a")
    assert "finished" in status(tmp_path, "s")
    assert best(run_states(tmp_path, [entry("a")])) is None
    path.write_text(json.dumps({**content, "metrics": {"map50_95": float("nan")}}))
    assert best(run_states(tmp_path, [entry("a")])) is None


def test_study_file_round_trip_with_its_format(tmp_path):
    study_of(tmp_path, "a")
    assert read_study(tmp_path, "s") == StudyFile([entry("a")], "s", "What?", "python -m src.sweep s")
    assert json.loads(study_file(tmp_path, "s").read_text())["format"] == 1
    assert entry_of(tmp_path, "s", "a") == entry("a")
    assert entry_of(tmp_path, "s", "b") is None
    assert entry_of(tmp_path, "other", "a") is None


def test_a_declaration_keeps_how_many_results_were_known_when_it_was_made(tmp_path):
    plan = Declaration((0, 1), (0, 1), margin=0.01)
    runs = [entry("a"), entry("b", seed=1)]

    def written(declared):
        write_study(tmp_path, "s", "What?", "c", runs, declared)
        return read_study(tmp_path, "s").declared

    first = written(plan)
    assert (first.known, Declaration(first.seeds, first.baseline_seeds, first.margin)) == (0, plan)
    put(tmp_path, "a", "finished")
    assert written(plan) == first
    changed = written(dataclasses.replace(plan, margin=0.02))
    assert changed.known == 1
    assert changed.hash != first.hash


def test_a_study_that_continues_untracked_was_declared_as_before(tmp_path):
    plan = Declaration((0,), (0,), margin=0.01)
    write_study(tmp_path, "s", "What?", "c", [entry("a"), entry("b", seed=1)], plan)
    first = read_study(tmp_path, "s")
    put(tmp_path, "a", "finished")
    stored = plain(dataclasses.replace(first, declared=dataclasses.replace(first.declared, hash="12345678")))
    study_file(tmp_path, "s").write_text(json.dumps(stored))  # an earlier version hashed otherwise
    runs = [dataclasses.replace(run, overrides=[*run.overrides, "tracking=disabled"]) for run in first.runs]
    write_study(tmp_path, "s", "What?", "c", runs, plan)
    assert read_study(tmp_path, "s").declared == first.declared


def put_study(output_dir, content):
    path = study_file(output_dir, "s")
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_study_file_of_before_it_had_a_format_is_read(tmp_path):
    put_study(tmp_path, {"name": "s", "question": "What?", "command": "c", "runs": [plain(entry("a"))]})
    assert read_study(tmp_path, "s").runs == [entry("a")]


def test_unknown_fields_of_a_study_are_ignored_and_missing_ones_have_defaults(tmp_path):
    put_study(tmp_path, {"format": 1, "new": 1, "runs": [{"run": "a", "variant": "x", "seed": 2, "new": 3}]})
    found = read_study(tmp_path, "s")
    assert (found.question, found.command) == ("", "")
    (run,) = found.runs
    assert (run.overrides, run.swept, run.baseline) == ([], {}, None)
    assert read_for_report("s", tmp_path).runs[0].variant == "x"


@pytest.mark.parametrize("content", ["{}", "[]", "{", "", '{"runs": 1}', '{"runs": [1]}', '{"runs": [{"run": "a"}]}'])
def test_a_study_file_that_is_none_is_said_by_both_readers(content, tmp_path):
    put_study(tmp_path, content)
    with pytest.raises(ConfigError, match=r"study.json is no study .* move it away"):
        read_study(tmp_path, "s")
    with pytest.raises(StudyError, match=r"study.json is no study .* move it away"):
        read_for_report("s", tmp_path)


def test_a_study_file_of_a_later_version_is_refused_in_words(tmp_path):
    put_study(tmp_path, {"format": 2, "runs": []})
    with pytest.raises(ConfigError, match=r"study.json has format 2, .* upgrade the program"):
        read_study(tmp_path, "s")
    with pytest.raises(StudyError, match="upgrade the program"):
        read_for_report("s", tmp_path)


def test_a_run_of_the_newest_format_is_read(tmp_path):
    put(tmp_path, "a", "finished")
    assert Record.read(tmp_path / "runs" / "a").format == FORMAT


def test_a_run_that_its_study_does_not_list_is_named_with_the_study(tmp_path):
    assert not_listed(tmp_path, "s", "b") is None, "no study was declared"
    study_of(tmp_path, "a")
    assert not_listed(tmp_path, "s", "a") is None
    said = not_listed(tmp_path, "s", "b")
    assert said.startswith(f"study=s does not list b in {study_file(tmp_path, 's')}")
    assert said.endswith("as they are now: python -m src.sweep s")
    assert "\n" not in said


def test_a_finished_run_of_another_study_is_said_to_stay_there(tmp_path):
    put(tmp_path, "a", "finished")
    record = Record.read(tmp_path / "runs" / "a")
    assert shared_by(tmp_path, "s", record) is None
    assert shared_by(tmp_path, "other", record).startswith("study=other: a was trained by study s and stays its run")
    write_study(tmp_path, "other", "What?", "c", [entry("a")])
    assert shared_by(tmp_path, "other", record) is None, "the study lists what it shares"


def test_a_run_that_another_process_has_taken_up_is_not_recorded_as_killed(tmp_path, monkeypatch):
    folder = write_run(tmp_path, config_of({"name": "se"}, 0), status="interrupted", given={"a": 1})
    real = runs.find_run

    def found_and_then_finished(output_dir, name):
        found = real(output_dir, name)
        record = Record.read(folder)
        record.status = "finished"
        record.write(folder)
        return found

    monkeypatch.setattr(runs, "find_run", found_and_then_finished)
    runs.record_killed(tmp_path, {"a": 1}, "killed")
    assert Record.read(folder).status == "finished"


def test_a_run_that_another_process_trains_is_not_recorded_as_killed(tmp_path, monkeypatch):
    folder = write_run(tmp_path, config_of({"name": "se"}, 0), status="running", given={"a": 1})
    monkeypatch.setattr(runs, "is_locked", lambda path: False)  # it took the lock a moment later
    with run_lock(lock_file(tmp_path, folder.name)):
        runs.record_killed(tmp_path, {"a": 1}, "killed")
    assert Record.read(folder).status == "running"
    runs.record_killed(tmp_path, {"a": 1}, "killed")
    assert (Record.read(folder).status, Record.read(folder).error) == ("failed", "killed")

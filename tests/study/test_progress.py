"""How far a study is, from the files of its runs."""

import json

import pytest

from tests.fabricate import config_of
from yolo26_attention.durations import duration
from yolo26_attention.files.locks import run_lock
from yolo26_attention.files.record import Record
from yolo26_attention.study.progress import best, run_states, time_left
from yolo26_attention.study.runs import StudyEntry


def entry(run, variant="acmix", seed=0):
    return StudyEntry(run, variant, seed, baseline="baseline")


def put(output_dir, run, status, epochs=0, **values):
    """A run's folder with so many of 10 epochs in its journal."""
    folder = output_dir / "runs" / run
    folder.mkdir(parents=True)
    lines = [json.dumps({"event": "epoch", "epoch": number + 1}) + "\n" for number in range(epochs)]
    (folder / "journal.jsonl").write_text("".join(lines))
    config = config_of({"name": "acmix"}, 0, trainer__epochs=10)
    Record("1", run, "s", 0, config, status=status, **{"metrics": {"map50_95": 0.5}, **values}).write(folder)


def states(output_dir, *entries):
    return run_states(output_dir, entries)


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_state_of_the_record(status, tmp_path):
    put(tmp_path, "a", status)
    (found,) = states(tmp_path, entry("a"))
    assert found.state == status


def test_a_run_without_a_folder_is_pending(tmp_path):
    assert [state.state for state in states(tmp_path, entry("a"))] == ["pending"]


def test_running_only_while_a_process_holds_the_lock(tmp_path):
    put(tmp_path, "a", "running", epochs=4)
    with run_lock(tmp_path / "locks" / "a.lock"):
        (found,) = states(tmp_path, entry("a"))
        assert (found.state, found.epoch, found.done) == ("running", 4, 0.4)
    assert states(tmp_path, entry("a"))[0].state == "interrupted"


def test_looking_does_not_take_the_lock(tmp_path):
    put(tmp_path, "a", "running")
    lock = tmp_path / "locks" / "a.lock"
    with run_lock(lock):
        pass
    states(tmp_path, entry("a"))
    with run_lock(lock):
        pass


def test_time_left_is_that_of_the_variant_then_of_the_study_then_of_others(tmp_path):
    put(tmp_path, "base0", "finished", seconds=10.0)
    put(tmp_path, "acmix0", "finished", seconds=30.0)
    runs = [entry("base0", "baseline"), entry("acmix0"), entry("base1", "baseline", 1), entry("acmix1", seed=1)]
    assert time_left(states(tmp_path, *runs[:3])).seconds == 10.0
    assert time_left(states(tmp_path, *runs)).seconds == 40.0
    assert time_left(states(tmp_path, *runs, entry("se0", "se"))).seconds == 60.0
    assert time_left(states(tmp_path, entry("se0", "se")), [7.0]).seconds == 7.0
    nothing = time_left(states(tmp_path, entry("se0", "se")))
    assert (nothing.seconds, nothing.measured) == (None, 0)
    assert "unknown" in str(nothing)


def test_time_left_of_a_run_in_its_middle(tmp_path):
    put(tmp_path, "a", "finished", seconds=100.0)
    put(tmp_path, "b", "interrupted", epochs=7)
    assert time_left(states(tmp_path, entry("a"), entry("b", seed=1))).seconds == pytest.approx(30.0)


def paced(output_dir, run, status, seconds, epochs, **values):
    """A run whose epochs took so long each."""
    put(output_dir, run, status, **values)
    entries = [{"event": "training", "time": 100.0}]
    entries += [{"event": "epoch", "epoch": n + 1, "time": 100.0 + (n + 1) * seconds} for n in range(epochs)]
    (output_dir / "runs" / run / "journal.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_run_goes_on_at_its_own_pace(tmp_path):
    put(tmp_path, "a", "finished", seconds=100.0)
    paced(tmp_path, "b", "interrupted", 5.0, epochs=4)
    left = time_left(states(tmp_path, entry("a"), entry("b", seed=1)))
    assert (left.seconds, left.measured, left.whole) == (30.0, 1, True)


def test_from_the_first_epoch_on_it_tells_how_long_the_others_take(tmp_path):
    paced(tmp_path, "a", "interrupted", 5.0, epochs=1)
    left = time_left(states(tmp_path, entry("a"), entry("b", seed=1)), at_once=2)
    assert (left.seconds, left.whole) == (95.0, False)
    assert str(left) == "about 48 s with 2 runs at a time (from the epochs of 1 run)"


def test_hours_and_not_epochs_end_a_run_with_a_budget(tmp_path):
    paced(tmp_path, "a", "interrupted", 5.0, epochs=1)
    (found,) = states(tmp_path, entry("a"))
    assert found.seconds() == 50.0
    found.record.config["trainer"]["time"] = 1.0
    assert found.seconds() is None


def test_an_epoch_that_is_there_twice_counts_once(tmp_path):
    put(tmp_path, "a", "interrupted", epochs=3)
    with (tmp_path / "runs" / "a" / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"event": "epoch", "epoch": 3}) + "\n")
    assert states(tmp_path, entry("a"))[0].epoch == 3


def test_a_continued_run_does_not_tell_how_long_a_run_takes(tmp_path):
    put(tmp_path, "a", "finished", seconds=1.0, attempts=2)
    assert time_left(states(tmp_path, entry("a"), entry("b", seed=1))).seconds is None


def test_a_run_that_two_points_share_counts_once(tmp_path):
    put(tmp_path, "a", "finished", seconds=5.0)
    runs = states(tmp_path, entry("a"), entry("b", "x", 1), entry("b", "y", 1))
    assert time_left(runs).seconds == 5.0


def test_best_of_none(tmp_path):
    assert best(states(tmp_path, entry("a"))) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text

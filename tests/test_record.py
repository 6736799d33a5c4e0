"""Identity of a run, and its record on disk."""

import json

import pytest

from src.record import Record, identity, is_locked, readable_name, run_lock, set_aside


def named(config, data="abc", weights=None):
    return identity(config, data, weights)


@pytest.mark.parametrize(
    "override",
    [
        "attention=baseline",
        "attention.heads=8",
        "placement=p3",
        "model=yolo26s",
        "optimizer=adamw",
        "optimizer.lr0=0.02",
        "trainer.epochs=9",
        "trainer.batch=4",
        "seed=1",
    ],
)
def test_what_defines_the_experiment_changes_the_identity(override, composed):
    assert named(composed(override)) != named(composed())


@pytest.mark.parametrize(
    "override",
    [
        "tracking=disabled",
        "latency=disabled",
        "study=other",
        "output_dir=/elsewhere",
        "force=true",
        "retry=false",
        "objectives=[recall]",
        "trainer.device=0",
        "trainer.threads=1",
        "trainer.workers=2",
        "trainer.plots=false",
    ],
)
def test_where_and_how_it_runs_does_not(override, composed):
    assert named(composed(override)) == named(composed())


def test_data_and_weights_count_by_content(composed):
    config = composed()
    assert named(config, "abc") != named(config, "abd")
    assert named(config, weights="1") != named(config, weights=None)
    assert named(composed("data.yaml=/a.yaml"), "abc") == named(composed("data.yaml=/b.yaml"), "abc")


def test_one_baseline_serves_every_placement(composed):
    assert named(composed("attention=baseline", "placement=p3")) == named(composed("attention=baseline"))


def test_names_a_person_can_read(composed):
    assert readable_name(composed("placement=p3", "seed=7")) == "acmix-p3-yolo26n-digits-s7"
    assert readable_name(composed("placement=p3", "placement.mode=replace")) == "acmix-p3-replace-yolo26n-digits-s0"
    assert readable_name(composed("placement=p3", "placement.gate=zero")) == "acmix-p3-gate_zero-yolo26n-digits-s0"
    assert readable_name(composed("attention=baseline")) == "baseline-yolo26n-digits-s0"


def record(**values):
    return Record(run_id="1", name="a", study="s", seed=0, config={}, **values)


def test_record_round_trip(tmp_path):
    written = record(status="finished", metrics={"map50_95": 0.5}, events=[{"event": "resume", "epoch": 2}])
    written.write(tmp_path)
    assert Record.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_no_record(tmp_path):
    assert Record.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", '{"run_id": "1"}', '{"unknown": 1}', "[]"])
def test_broken_record_says_what_to_do(text, tmp_path):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"record.json is not a record .* move .* away"):
        Record.read(tmp_path)


def test_record_is_readable_json(tmp_path):
    record().write(tmp_path)
    content = json.loads((tmp_path / "record.json").read_text())
    assert {"run_id", "study", "seed", "status", "config", "metrics", "model", "latency"} <= set(content)
    assert {"environment", "events", "seconds"} <= set(content)


def test_lock_keeps_a_second_process_off(tmp_path):
    with run_lock(tmp_path / "a.lock"):
        with pytest.raises(RuntimeError, match="another process holds"), run_lock(tmp_path / "a.lock"):
            pass
        with run_lock(tmp_path / "b.lock"):
            pass
    with run_lock(tmp_path / "a.lock"):
        pass


def test_objectives_are_values_of_the_record():
    measured = record(metrics={"map50_95": 0.5}, latency={"ratio_to_stock": 1.25}, model={"parameters": 7})
    assert [measured.objective(name) for name in ("map50_95", "latency_ratio", "parameters")] == [0.5, 1.25, 7.0]


def test_whether_a_process_is_at_a_run(tmp_path):
    path = tmp_path / "a.lock"
    assert not is_locked(path)
    with run_lock(path):
        assert is_locked(path)
    assert path.exists()
    assert not is_locked(path)


def test_set_aside_keeps_every_earlier_run(tmp_path):
    for content in ("first", "second"):
        folder = tmp_path / "runs" / "a"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(content)
        set_aside(folder, tmp_path)
        assert not folder.exists()
    assert (tmp_path / "replaced" / "a-1" / "record.json").read_text() == "first"
    assert (tmp_path / "replaced" / "a-2" / "record.json").read_text() == "second"

"""A run's record on disk."""

import json

import pytest

from tests.fabricate import GROUPS, latency_of, match_of, model_of
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.journal import Entry
from yolo26_attention.files.latency import NoLatency, NoThroughput, Throughput
from yolo26_attention.files.record import FORMAT, Record, replaced_best, set_aside
from yolo26_attention.files.typed import NewerFormatError


def record(**values):
    return Record(run_id="1", name="a", study="s", seed=0, config={}, **values)


def test_record_round_trip(tmp_path):
    written = record(
        status="finished", metrics={"map50_95": 0.5}, events=[Entry("resume", None, {"epoch": 2})],
        model=model_of(placebo={"p3": match_of(0.01)}), optimizer=GROUPS, measurements=[NoLatency("no")],
        latency=latency_of(throughput={"2": NoThroughput("no"), "4": Throughput(1.0, 2.0, 0.5, 3)}, options={"a": 1}),
    )  # fmt: skip
    written.write(tmp_path)
    assert Record.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_no_record(tmp_path):
    assert Record.read(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"run_id": "1"}', '{"unknown": 1}', "[]", "null", '{"format": "1"}', '{"format": null}', "\x00" * 9],
)
def test_broken_record_says_what_to_do(text, tmp_path):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"record.json is not a record .* move .* away"):
        Record.read(tmp_path)


def test_record_is_readable_json(tmp_path):
    record().write(tmp_path)
    content = json.loads((tmp_path / "record.json").read_text())
    assert {"run_id", "study", "seed", "status", "config", "metrics", "model", "latency"} <= set(content)
    assert {"environment", "events", "seconds"} <= set(content)


def test_objectives_are_values_of_the_record():
    measured = record(metrics={"map50_95": 0.5}, latency=latency_of(1.25), model=model_of(parameters=7))
    assert [measured.objective(name) for name in ("map50_95", "latency_ratio", "parameters")] == [0.5, 1.25, 7.0]


def test_set_aside_keeps_every_earlier_run(tmp_path):
    for content in ("first", "second"):
        folder = tmp_path / "runs" / "a"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(content)
        set_aside(folder, tmp_path)
        assert not folder.exists()
    assert (tmp_path / "replaced" / "a-1" / "record.json").read_text() == "first"
    assert (tmp_path / "replaced" / "a-2" / "record.json").read_text() == "second"


def written(folder, **changes):
    record(status="finished", metrics={"map50_95": 0.5}).write(folder)
    content = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**content, **changes}))


def test_unknown_fields_are_ignored(tmp_path):
    written(tmp_path, new=[1, 2])
    assert Record.read(tmp_path).metrics == {"map50_95": 0.5}


def test_missing_fields_have_defaults(tmp_path):
    (tmp_path / "record.json").write_text('{"run_id": "1", "name": "a", "study": "s", "seed": 0, "config": {}}')
    found = Record.read(tmp_path)
    assert (found.status, found.format, found.identity_version, found.given) == ("running", 0, 0, {})


@pytest.mark.parametrize(
    "changes", [{"metrics": None}, {"config": []}, {"events": {}}, {"latency": 1.0}, {"seed": "0"}]
)
def test_a_field_of_another_kind_is_no_record(changes, tmp_path):
    written(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"is not a record \({next(iter(changes))} is .* move .* away"):
        Record.read(tmp_path)


def test_a_record_of_a_later_version_is_refused_in_words(tmp_path):
    written(tmp_path, format=FORMAT + 1, status=["of another kind"])
    said = rf"record.json has format {FORMAT + 1}, but this version .* up to {FORMAT}; upgrade .* output_dir"
    with pytest.raises(NewerFormatError, match=said):
        Record.read(tmp_path)


def test_what_is_written_has_the_newest_format(tmp_path):
    written(tmp_path)
    assert json.loads((tmp_path / "record.json").read_text())["format"] == FORMAT == 1


def test_a_checkpoint_that_was_replaced_is_told_by_its_digest(tmp_path):
    best = tmp_path / "train" / "weights" / "best.pt"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"trained")
    ours = record(checkpoints={"best": file_digest(best)})
    assert replaced_best(ours, tmp_path) is None
    best.write_bytes(b"another")
    assert f"{best} is not the checkpoint that this run trained" in replaced_best(ours, tmp_path)
    assert replaced_best(record(), tmp_path) is None, "a record of an earlier version has no digest"
    best.unlink()
    assert replaced_best(ours, tmp_path) is None

"""A run's folder through its life: what is kept beside the record, and runs of earlier versions."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from tests.run.test_runner import at_epoch
from tests.test_old import NAME, OLD
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record, RunSkippedError
from yolo26_attention.plan.checks import check
from yolo26_attention.plan.identity import VERSION, readable_name
from yolo26_attention.plan.identity_v0 import identity_v0
from yolo26_attention.run.runner import run
from yolo26_attention.run.wandb_journal import Tracker

BASELINE = ("attention=baseline", "trainer.fraction=8")


@pytest.fixture(scope="module")
def placebo(tiny, tmp_path_factory):
    """A placebo, trained."""
    given = tiny(
        "attention=placebo", "placement=neck", "trainer.fraction=4", f"output_dir={tmp_path_factory.mktemp('o')}"
    )
    plan = check(given)
    run(plan, OmegaConf.to_yaml(OmegaConf.create(given.plain())))
    return given.plain(), plan


def test_what_was_given_and_what_it_was_resolved_to_are_both_kept(placebo):
    given, plan = placebo
    record = Record.read(plan.folder)
    read = {name: yaml.safe_load((plan.folder / name).read_text()) for name in ("config.yaml", "resolved.yaml")}
    assert record.given == read["config.yaml"] == given
    assert record.config == read["resolved.yaml"] == json.loads(json.dumps(plan.config.plain()))
    assert given["placebo"]["options"] is None
    assert record.config["placebo"]["options"]["kernel_att"] == 7
    assert (given["placement"]["sites"], record.config["placement"]["sites"]) == (["neck"], ["p3", "p4", "p5"])


def test_a_record_says_by_which_identity_it_goes(placebo):
    _, plan = placebo
    record = Record.read(plan.folder)
    assert (record.identity_version, record.run_id) == (VERSION, plan.run_id)
    assert plan.folder.name.endswith(plan.run_id)


def test_what_a_killed_process_left_in_a_finished_run_goes_when_it_is_started_again(placebo):
    _, plan = placebo
    leftovers = [plan.folder / "record.json.0123.partial", plan.folder / "train" / "weights" / "writing.partial"]
    leftovers[0].write_text("half")
    leftovers[1].mkdir()
    _, trained = run(plan, "")
    assert not trained
    assert not any(path.exists() for path in leftovers)


@pytest.fixture
def plan_old(tiny, tmp_path):
    """The plan of the stored run of an earlier version, which lies where it would."""
    folder = tmp_path / "runs" / NAME
    shutil.copytree(OLD, folder)

    def planned(*overrides):
        options = ("attention=acmix", "placement=p3", "trainer.epochs=2", f"output_dir={tmp_path}")
        return check(tiny(*options, *overrides))

    return planned


def test_a_finished_run_of_an_earlier_version_is_finished_before(plan_old, caplog):
    plan = plan_old()
    assert plan.folder.name == NAME
    before = (plan.folder / "record.json").read_bytes()
    with caplog.at_level("INFO", logger="yolo26_attention"):
        record, trained = run(plan, "")
    assert (record.status, trained) == ("finished", False)
    assert (plan.folder / "record.json").read_bytes() == before
    assert any("a run of an earlier version of this program is reused" in message for message in caplog.messages)


def test_another_seed_is_no_run_of_an_earlier_version(plan_old):
    plan = plan_old("seed=1")
    assert (plan.identity_version, plan.folder.exists()) == (VERSION, False)


def test_force_keeps_the_run_of_an_earlier_version_aside(plan_old, tmp_path, monkeypatch):
    plan = plan_old("force=true")
    monkeypatch.setattr("yolo26_attention.run.runner.attempt", lambda *_: None)
    _, trained = run(plan, "")
    assert trained
    assert plan.folder.name != NAME
    assert not (tmp_path / "runs" / NAME).exists()
    assert Record.read(tmp_path / "replaced" / f"{NAME}-1").run_id == "bb20805feabf"


def test_a_run_of_an_earlier_version_goes_on_where_it_stopped(tiny, tmp_path, monkeypatch):
    def planned():
        return check(tiny(*BASELINE, "trainer.epochs=2", f"output_dir={tmp_path}"))

    def stop(_):
        raise KeyboardInterrupt

    plan = planned()
    at_epoch(monkeypatch, 1, stop)
    with pytest.raises(KeyboardInterrupt):
        run(plan, "")
    earlier_id = identity_v0(plan.config.plain(), plan.dataset.sizes_identity, None)
    earlier = plan.folder.rename(plan.folder.with_name(f"{readable_name(plan.config)}-{earlier_id}"))
    dataclasses.replace(Record.read(earlier), run_id=earlier_id, identity_version=0, checkpoints={}).write(earlier)
    for state in earlier.glob("state*.pt"):  # which did not name its run then
        torch.save({key: value for key, value in torch.load(state, weights_only=True).items() if key != "run"}, state)
    again = planned()
    assert (again.folder, again.run_id, again.identity_version) == (earlier, earlier_id, 0)
    record, _ = run(again, "")
    assert (record.status, record.attempts, record.run_id, record.identity_version) == ("finished", 2, earlier_id, 0)
    events = [(entry.event, entry.details.get("epoch")) for entry in read_journal(earlier / "journal.jsonl")]
    assert ("resume", 2) in events
    assert not plan.folder.exists()


def test_a_record_of_a_later_version_is_left_alone(tiny, tmp_path):
    plan = check(tiny(*BASELINE, f"output_dir={tmp_path}"))
    plan.folder.mkdir(parents=True)
    text = json.dumps({"format": 99, "status": "finished"})
    (plan.folder / "record.json").write_text(text)
    with pytest.raises(RunSkippedError, match=r"has format 99.*upgrade the program"):
        run(plan, "")
    assert (plan.folder / "record.json").read_text() == text


@pytest.fixture
def plan(tiny, tmp_path):
    return check(tiny(*BASELINE, f"output_dir={tmp_path}"))


def test_a_run_that_goes_on_is_the_same_run_for_weights_and_biases(plan, monkeypatch):
    ids = []
    monkeypatch.setattr(
        "yolo26_attention.run.runner.attempt", lambda plan, record, tracking_id, tags: ids.append(tracking_id)
    )
    before = Record(plan.run_id, plan.folder.name, "s", 0, plan.config.plain(), "interrupted", tracking_id="kept")
    plan.folder.mkdir(parents=True)
    before.write(plan.folder)
    record, _ = run(plan, "")
    assert (ids, record.tracking_id) == (["kept"], "kept")


def test_no_password_of_an_address_gets_into_the_record(plan, monkeypatch):
    def fail(*_):
        raise ConnectionError("https://me:secret@mirror/yolo26n.pt")

    monkeypatch.setattr("yolo26_attention.run.attempt._train", fail)
    with pytest.raises(ConnectionError):
        run(plan, "")
    record = Record.read(plan.folder)
    assert record.status == "failed"
    assert "https://***@mirror/yolo26n.pt" in record.error
    assert "secret" not in (plan.folder / "record.json").read_text()


@pytest.mark.parametrize("upload", [True, False])
def test_weights_are_uploaded_when_that_is_asked_for(upload, tiny, tmp_path, monkeypatch):
    plan = check(tiny(*BASELINE, f"tracking.upload_weights={str(upload).lower()}", f"output_dir={tmp_path}"))
    uploaded = []
    monkeypatch.setattr(Tracker, "upload", lambda self, path, name, kind="model": uploaded.append((path, name, kind)))
    monkeypatch.setattr(
        "yolo26_attention.run.attempt._train",
        lambda *_: dict.fromkeys(
            ("metrics/mAP50-95(B)", "metrics/mAP50(B)", "metrics/precision(B)", "metrics/recall(B)"), 0.5
        ),
    )
    monkeypatch.setattr("yolo26_attention.run.attempt._start", lambda _: SimpleNamespace(decided={}))
    monkeypatch.setattr("yolo26_attention.run.attempt._measure", lambda *_: None)
    run(plan, "")
    best = plan.folder / "train" / "weights" / "best.pt"
    assert uploaded == ([(best, plan.folder.name, "model")] if upload else [])

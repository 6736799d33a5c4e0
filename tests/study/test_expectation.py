"""How long a run should take is what finished runs like it took."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import Record
from yolo26_attention.study import expectation as module
from yolo26_attention.study.expectation import expectation


@pytest.fixture
def plan(composed, tmp_path):
    config = composed("attention=acmix", f"output_dir={tmp_path}")
    return SimpleNamespace(config=config, folder=tmp_path / "runs" / "new", device=torch.device("cpu"))


@pytest.fixture
def put(plan, composed):
    """Write the record of a run with this configuration."""

    def written(name, seconds, *overrides, status="finished", attempts=1, device="cpu"):
        folder = plan.folder.with_name(name)
        folder.mkdir(parents=True)
        config = composed("attention=acmix", *overrides).plain()
        environment = {"device": device}
        Record("1", name, "s", 0, config, status, attempts, seconds=seconds, environment=environment).write(folder)
        return folder

    return written


def test_nothing_is_said_if_nothing_is_known(plan):
    assert expectation(plan) is None


def test_runs_with_the_same_attention_count_before_others(plan, put):
    put("other", 1000.0, "attention=simam")
    assert expectation(plan) == "takes about 17 min, as a run like it did"
    put("same", 100.0)
    put("seed", 300.0, "seed=1")
    assert expectation(plan) == "takes about 3 min, as 2 runs like it did"


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        pytest.param(["trainer.epochs=99"], {}, id="another-recipe"),
        pytest.param(["model=yolo26s"], {}, id="another-network"),
        pytest.param([], {"device": "NVIDIA H200"}, id="another-device"),
        pytest.param([], {"status": "failed"}, id="failed"),
        pytest.param([], {"attempts": 2}, id="resumed"),
    ],
)
def test_other_runs_do_not_count(overrides, values, plan, put):
    put("other", 100.0, *overrides, **values)
    assert expectation(plan) is None


def test_a_run_that_has_begun_tells_by_itself(plan, put):
    put("same", 100.0)
    plan.folder.mkdir()
    Record("1", "new", "s", 0, plan.config.plain()).write(plan.folder)
    assert expectation(plan) is None


def test_only_the_latest_records_are_read(plan, put, monkeypatch):
    monkeypatch.setattr(module, "LATEST", 1)
    old, new = put("old", 100.0), put("new-one", 10.0, "trainer.epochs=99")
    os.utime(RunFolder(old).record, (1, 1))
    assert expectation(plan) is None
    os.utime(RunFolder(new).record, (0, 0))
    assert expectation(plan) == "takes about 2 min, as a run like it did"


def test_its_own_data_and_device_are_compared(plan, put):
    put("same", 45.0)
    other = replace(plan.config, data=replace(plan.config.data, train_images=99))
    assert expectation(SimpleNamespace(**{**vars(plan), "config": other})) is None

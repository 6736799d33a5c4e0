"""A run that pauses after an epoch ends as one that did not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.plan.training_options import check_training_options
from yolo26_attention.run.attempt import PausedError
from yolo26_attention.run.runner import run
from yolo26_attention.study.runs import find_run


@pytest.fixture
def planned(tiny, tmp_path):
    def plan(folder, *overrides):
        options = ("attention=simam", "placement=p3", "trainer.epochs=3", f"output_dir={tmp_path / folder}")
        return check(tiny(*options, *overrides))

    return plan


def weights(plan):
    best = plan.folder / "train" / "weights" / "best.pt"
    return torch.load(best, weights_only=False)["model"].state_dict()


def test_a_paused_run_ends_as_one_that_never_stopped(planned, tmp_path):
    whole = planned("whole")
    run(whole, "")
    assert planned("paused", "pause=1").run_id == whole.run_id
    for pause in (1, 1, 2):  # the second time there is nothing to do
        plan = planned("paused", f"pause={pause}")
        with pytest.raises(PausedError, match=f"paused after epoch {pause} of 3; the same command without pause"):
            run(plan, "")
        assert len(epochs(read_journal(plan.folder / "journal.jsonl"))) == pause
        assert find_run(tmp_path / "paused", plan.folder.name).state == "interrupted"
    plan = planned("paused")
    record, trained = run(plan, "")
    assert (record.status, trained, record.attempts) == ("finished", True, 3)
    expected, found = weights(whole), weights(plan)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert Record.read(whole.folder).metrics == record.metrics


@pytest.mark.parametrize(("epochs", "of"), [(3, " of 3"), (None, "")])
def test_the_option_that_was_given_is_named(epochs, of):
    assert str(PausedError(2, epochs, 1)) == f"paused after epoch 2{of}; the same command without pause=1 continues it"


def test_a_pause_at_the_end_is_none(planned):
    record, _ = run(planned("end", "pause=3"), "")
    assert record.status == "finished"


def test_several_gpus_do_not_pause(composed):
    config = composed("pause=2")
    config = replace(config, trainer=replace(config.trainer, device="0,1"))
    with pytest.raises(ConfigError, match=r"pause=2 is not possible on several GPUs \(trainer\.device=0,1\)"):
        check_training_options(config, "cuda", Path("data.yaml"))

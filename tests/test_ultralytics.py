"""Facts about the pinned Ultralytics that our code rests on; an upgrade fails here first."""

import inspect

import ultralytics
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils.dist import generate_ddp_file

from yolo26_attention.detector.stock import build_stock


def test_version():
    assert ultralytics.__version__ == "8.4.190"


def test_structure_of_yolo26n():
    model = build_stock("yolo26n", classes=80, channels=3)
    assert len(model.state_dict()) == 708
    assert model.model[-1].f == [16, 19, 22]


def test_hooks_that_our_trainer_overrides():
    for name in ("get_model", "save_metrics", "save_model", "resume_training"):
        assert callable(getattr(BaseTrainer, name))
    for name in (
        "_build_train_pipeline",
        "_close_dataloader_mosaic",
        "_do_train",
        "_handle_nan_recovery",
        "final_eval",
        "optimizer_step",
        "run_callbacks",
    ):
        assert f"self.{name}(" in inspect.getsource(BaseTrainer)


def test_what_the_loop_keeps_in_local_variables():
    """training/resuming.py hands each of these over; a line that goes makes the loop another one."""
    source = inspect.getsource(BaseTrainer._do_train)
    for line in (
        "last_opt_step = -1",
        "acc0 = self.accumulate",
        "epoch = self.start_epoch",
        "mosaic_closed = not self.args.close_mosaic",
        "if ni - last_opt_step >= self.accumulate:",
    ):
        assert line in source
    assert source.index("acc0 = ") < source.index('"on_train_start"') < source.index("mosaic_closed = not")


def test_checkpoints_are_written_through_last_and_best():
    source = inspect.getsource(BaseTrainer.save_model)
    assert "self.last.write_bytes" in source
    assert "self.best.write_bytes" in source


def test_workers_of_a_multi_gpu_run_get_the_trainers_class():
    assert '"trainer": type(trainer)' in inspect.getsource(generate_ddp_file)

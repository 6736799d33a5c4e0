"""Each line that is filtered is one that Ultralytics still writes, and nothing else is lost."""

import logging

import pytest
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import LOGGER, colorstr

from yolo26_attention.compat.ultralytics_log import shown_in_place, without_repetition


class Kept(logging.Handler):
    """Keeps the text of every record."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def kept():
    handler = Kept()
    LOGGER.addHandler(handler)
    yield handler.lines
    LOGGER.removeHandler(handler)


def test_the_number_of_classes_is_not_repeated(kept):
    DetectionModel("yolo26n.yaml", nc=10, verbose=False)
    assert kept == ["Overriding model.yaml nc=80 with nc=10"]
    kept.clear()
    with without_repetition():
        DetectionModel("yolo26n.yaml", nc=10, verbose=False)
    assert kept == []


def test_warnings_and_other_lines_pass(kept):
    with without_repetition():
        LOGGER.warning("Overriding model.yaml nc=80 with nc=10")
        LOGGER.info(f"{colorstr('train: ')}Slow image access detected (ping: 9 ms)")
        LOGGER.info(f"{colorstr('engine/trainer: ')}agnostic_nms=False, amp=True")
    LOGGER.info("Overriding model.yaml nc=80 with nc=10")
    assert len(kept) == 3
    assert "Slow image access" in kept[1]


def test_a_training_without_its_repetitions(kept, tiny, tmp_path):
    """Ultralytics writes each of the lines when it trains; if one changes, `REPEATED` must follow."""
    from yolo26_attention.plan.checks import check
    from yolo26_attention.training.trainer import GraftTrainer

    plan = check(tiny("attention=simam", "placement=p3", "trainer.plots=true", f"output_dir={tmp_path}"))
    kept.clear()
    GraftTrainer.configured(plan.grafts)(overrides=dict(plan.arguments)).train()
    said = "\n".join(kept)
    for line in ("engine/trainer: ", "Overriding model.yaml", "Fast image access", "New cache created: "):
        assert line in said
    assert "Plotting labels to " in said
    assert "Using 16 train, 8 val images" in said
    assert f"{tmp_path}" in said
    assert "writing.partial" not in said
    assert "network  yolo26n, 2,507,700 parameters; append simam at p3 (+0)" in kept
    assert not [line for line in kept if "ultralytics.nn.modules" in line]


def test_paths_are_those_where_files_stay(kept, tmp_path):
    with shown_in_place(tmp_path / "aside", tmp_path):
        LOGGER.info(f"Optimizer stripped from {tmp_path / 'aside' / 'best.pt'}, 5.3MB")
        LOGGER.info("100 %% of %s", "this")
    assert kept == [f"Optimizer stripped from {tmp_path / 'best.pt'}, 5.3MB", "100 % of this"]

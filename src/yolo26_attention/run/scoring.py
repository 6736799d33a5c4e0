"""The score of a trained network on the test images, on which nothing was chosen."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from yolo26_attention.data.held_out import HeldOut
from yolo26_attention.detector.trust import known_classes_only
from yolo26_attention.evaluation.coco import ap_by_size
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.metrics import ULTRALYTICS
from yolo26_attention.files.record import Record, TestScore, replaced_best
from yolo26_attention.plan.checks import Plan
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.training.state import damage
from yolo26_attention.training.validator import validate

log = logging.getLogger(__name__)


def score_test(plan: Plan, held_out: HeldOut, training: Mapping[str, Any]) -> TestScore | None:
    """Score best.pt on the test images; None if there are none that can be used.

    Args:
        plan: plan of the run.
        held_out: the test split as it is now.
        training: what the training decided: `training.decided`.
    """
    if held_out.split is None:
        return None
    files = RunFolder(plan.folder)
    metrics = validate(files.best, plan.arguments, training, files.test_detections, "test")
    kept = read_matches(files.test_detections)
    return TestScore(
        metrics={name: float(metrics[key]) for name, key in ULTRALYTICS.items()},
        ap_by_size=ap_by_size(kept),
        ap_by_class=kept.ap_by_class(plan.dataset.names),
        images=held_out.split.images,
        identity=held_out.identity,
    )


def score_again(plan: Plan, record: Record) -> Record:
    """Score a run that finished before the data set had this test split; nothing is trained.

    Returns:
        The record, which is written if it has changed.
    """
    held_out, files = plan.dataset.held_out, RunFolder(plan.folder)
    if held_out.split is None or (record.test is not None and record.test.identity == held_out.identity):
        return record
    if problem := damage(files.best) or replaced_best(record, plan.folder):
        log.warning("%s, so it is not scored on the test images; force=true trains the run anew", problem)
        return record
    log.info("finished before; nothing is trained, and best.pt is scored on the test images")
    with interruptible(), known_classes_only("best.pt", files.best, plan.trust):
        test = score_test(plan, held_out, record.training)
    record = dataclasses.replace(record, test=test, data={**record.data, "test": dataclasses.asdict(held_out)})
    record.write(plan.folder)
    return record

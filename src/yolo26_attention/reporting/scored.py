"""On which images a study is compared: on the test images, on which nothing was chosen, if every run has them."""

from collections.abc import Sequence
from dataclasses import replace

from yolo26_attention.counts import some
from yolo26_attention.files.record import Record, common_split
from yolo26_attention.reporting.study import Study, StudyRun
from yolo26_attention.reporting.variant import Variant


def on_common_images(study: Study) -> Study:
    """The study with the scores that are compared, and with a note that says on which images they are.

    If these are the test images, they take the place of the validation scores, which each run keeps as `validation`.
    """
    counted = [(run, run.record) for run in study.runs if run.counts and run.record is not None]
    records = [record for _, record in counted]
    split = common_split(records)
    if split == "test":
        runs = tuple(_on_test(run, run.record) if run.counts and run.record is not None else run for run in study.runs)
        images = next(record.test.images for record in records if record.test is not None)
        note = f"scored on the {images} images of the test split, on which nothing was chosen"
        return replace(study, runs=runs, scored_on=split, notes=(*study.notes, note))
    return replace(study, notes=(*study.notes, *_on_validation(counted)))


def _on_test(run: StudyRun, record: Record) -> StudyRun:
    test = record.test
    assert test is not None, "every run that counts has a score on the test images"
    own = replace(record, metrics=test.metrics, ap_by_size=test.ap_by_size, ap_by_class=test.ap_by_class)
    scored = replace(run, record=own, validation=run.score, scored_on="test")
    if scored.score is None:
        return replace(scored, status="not a number", problem="finished without a score on the test images")
    return scored


def _on_validation(counted: Sequence[tuple[StudyRun, Record]]) -> list[str]:
    """Why the validation images are what is left to compare on, and what was chosen on them."""
    if not counted:
        return []
    without = [run.name for run, record in counted if record.test is None]
    if not without:
        return ["the test images are not the same in all runs, so that all are compared on the validation images"]
    if len(without) < len(counted):
        return [
            f"{len(without)} of {len(counted)} runs have no score on the test images, so that all are compared on the "
            f"validation images: {some(without)}; their own commands score them without training"
        ]
    if all(record.scores_last for _, record in counted):
        return ["scored on the validation images, on which nothing was chosen: trainer.select=last"]
    problems = dict.fromkeys(record.data.get("test", {}).get("problem", "") for _, record in counted)
    why = "; ".join(filter(None, problems)) or "these runs were not scored on a test split"
    return [f"scored on the validation images, on which each run's best epoch was chosen, too: {why}"]


def flattered(variant: Variant) -> list[float]:
    """By how much each run scores higher where its best epoch was chosen; empty if nothing was chosen, or is known."""
    return [
        run.validation - run.score
        for run in variant.counted
        if run.record is not None
        and run.score is not None
        and run.validation is not None
        and not run.record.scores_last
    ]

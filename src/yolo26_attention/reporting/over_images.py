"""The other source of chance, the validation images: differences over matches that the runs kept."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yolo26_attention.counts import some
from yolo26_attention.data.dependent_images import group_labels
from yolo26_attention.files.metrics import MAP50, MAP50_95
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.detections import kept_matches
from yolo26_attention.reporting.figures import MOST_DRAWN
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import BothDifference, ImageDifference, Matches, compare_both, compare_images


def with_images(results: Results, resamples: int) -> Results:
    """The results with intervals over images, and over seeds and images, for the variants that are drawn.

    A note says why there are none. Images of one group (`data.groups`) are drawn together.

    Args:
        results: as compared over seeds.
        resamples: how often images are drawn; 0 leaves these intervals out.
    """
    if results.study.metric not in (MAP50_95, MAP50):
        note = f"intervals over images are computed for mAP50-95 and mAP50, not for {results.study.score_name}"
        return replace(results, notes=(*results.notes, note))
    wanted = results.judged[:MOST_DRAWN]
    if not wanted or not resamples:
        return results
    kept: dict[str, dict[int, Matches]] = {}
    notes: list[str] = []
    missing: list[str] = []
    for variant in dict.fromkeys([*(each.variant for each in wanted), *(each.reference for each in wanted)]):
        kept[variant.label] = _matches(variant, missing)
    if missing:
        notes.append(f"no matches on {results.study.images} were kept by {some(missing)}")
    images: dict[str, ImageDifference] = {}
    both: dict[str, BothDifference] = {}
    for reference in dict.fromkeys(each.reference.label for each in wanted):
        labels = [each.variant.label for each in wanted if each.reference.label == reference]
        runs = {label: kept[label] for label in [*labels, reference]}
        try:
            groups = groups_of(results.variant(reference))
            images |= compare_images(
                runs,
                baseline=reference,
                resamples=resamples,
                level=results.level,
                generator=np.random.default_rng(0),
                groups=groups,
            )
            for label in labels:
                if min(len(runs[label]), len(runs[reference])) > 1:
                    both[label] = compare_both(
                        [*runs[reference].values()],
                        [*runs[label].values()],
                        resamples=resamples,
                        level=results.level,
                        generator=np.random.default_rng(0),
                        groups=groups,
                    )
        except ValueError as error:
            notes.append(f"no intervals over images against {reference}: {error}")
    left_out = len(results.judged) - len(wanted)
    if left_out:
        notes.append(f"intervals over images are those of the {MOST_DRAWN} highest variants; {left_out} have none")
    return replace(results, images=images, both=both, notes=(*results.notes, *notes))


def groups_of(reference: Variant) -> NDArray[np.str_] | None:
    """The group of each validation image; None where the runs declare none.

    Raises:
        GroupsError: if an image is in no group.
    """
    declared = reference.records[0].config["data"].get("groups") if reference.records else None
    if declared is None:
        return None
    kept = next((found for run in reference.counted if (found := kept_matches(run)) is not None), None)
    return None if kept is None else group_labels(kept.images.tolist(), declared)


def _matches(variant: Variant, missing: list[str]) -> dict[int, Matches]:
    """What each run of a variant matched; names of runs that kept nothing readable are added to `missing`."""
    found = {}
    for run in variant.counted:
        kept = kept_matches(run)
        if kept is None:
            missing.append(run.name)
        else:
            found[run.seed] = kept.matches
    return found

"""The other source of chance, the validation images: differences over matches that the runs kept."""

from dataclasses import replace

import numpy as np

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.detections import kept_matches
from yolo26_attention.reporting.figures import MOST_DRAWN
from yolo26_attention.reporting.study import some
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import ImageDifference, Matches, compare_images


def with_images(results: Results, resamples: int) -> Results:
    """The results with a paired bootstrap over images for the variants that are drawn; a note says why where not.

    Args:
        results: as compared over seeds.
        resamples: how often images are drawn; 0 leaves the bootstrap out.
    """
    wanted = results.judged[:MOST_DRAWN]
    if not wanted or not resamples:
        return results
    kept: dict[str, dict[int, Matches]] = {}
    notes: list[str] = []
    missing: list[str] = []
    for variant in dict.fromkeys([*(each.variant for each in wanted), *(each.reference for each in wanted)]):
        kept[variant.label] = _matches(variant, missing)
    if missing:
        notes.append(f"no matches on validation images were kept by {some(missing)}")
    images: dict[str, ImageDifference] = {}
    for reference in dict.fromkeys(each.reference.label for each in wanted):
        labels = [each.variant.label for each in wanted if each.reference.label == reference]
        runs = {label: kept[label] for label in [*labels, reference]}
        try:
            images |= compare_images(
                runs,
                baseline=reference,
                resamples=resamples,
                level=results.level,
                generator=np.random.default_rng(0),
            )
        except ValueError as error:
            notes.append(f"no intervals over images against {reference}: {error}")
    left_out = len(results.judged) - len(wanted)
    if left_out:
        notes.append(f"intervals over images are those of the {MOST_DRAWN} highest variants; {left_out} have none")
    return replace(results, images=images, notes=(*results.notes, *notes))


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

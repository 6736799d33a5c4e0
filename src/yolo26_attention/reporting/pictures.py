"""Every picture of a study that needs its records alone: no checkpoints, and no images of the data set."""

from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.curves import draw_curves
from yolo26_attention.reporting.effects_figure import draw_effects
from yolo26_attention.reporting.figures import draw_all
from yolo26_attention.reporting.matched import draw_matched
from yolo26_attention.reporting.style import Picture


def draw_pictures(results: Results, said: Answer, resamples: int) -> list[Picture]:
    """Effects of components, the study's numbers, curves over the epochs, and what the detections say.

    Args:
        results: of the study.
        said: its answer, for the variant that is drawn beside its baseline.
        resamples: random halves of the images; 0: no intervals over images.
    """
    effects = draw_effects(results)
    pictures = [*([] if effects is None else [effects]), *draw_all(results), *draw_curves(results)]
    return pictures + draw_matched(results, said, resamples)

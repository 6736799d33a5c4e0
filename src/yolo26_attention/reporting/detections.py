"""Detections side by side with the baseline's, on the images that score it, where they differ most."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from yolo26_attention.data.data_yaml import DatasetError, class_names
from yolo26_attention.evaluation.detections import Detections, read_matches
from yolo26_attention.evaluation.errors import CONFIDENCE
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.study import StudyRun
from yolo26_attention.reporting.style import INK, Picture, folded, new_figure, styled
from yolo26_attention.reporting.variant import Variant

log = logging.getLogger(__name__)
EACH_WAY = 2
MOST_PIXELS = 320  # of a side, so that photographs do not make the page heavy
RIGHT, WRONG = "#0072B2", "#D55E00"


def draw_detections(said: Answer) -> Picture | None:
    """Objects, detections of the baseline and of the variant that the answer speaks of; None without kept matches."""
    if said.about is None:
        return None
    reference, label = said.about.reference, said.about.variant.label
    pair = _pair(reference, said.about.variant)
    if pair is None:
        return None
    seed, folder, names, baseline, variant = pair
    gain = gains(baseline, variant)
    chosen = extremes(gain, EACH_WAY)
    if not chosen or not all_there([folder / str(baseline.images[index]) for index in chosen], "the detections"):
        return None
    with styled():
        figure, axes = new_figure(0.5 + 1.62 * len(chosen), rows=len(chosen), columns=3)
        for row, index in enumerate(chosen):
            image, scale = load_image(folder / baseline.images[index])
            panels = axes[3 * row : 3 * row + 3]
            for panel in panels:
                show(panel, image)
            _draw_objects(panels[0], baseline, index, scale, names)
            _draw_boxes(panels[1], baseline, index, scale, names)
            _draw_boxes(panels[2], variant, index, scale, names)
            panels[0].set_ylabel("variant better" if gain[index] > 0 else "baseline better", color=INK)
        for panel, title in zip(axes, ("objects", reference.label, label), strict=False):
            panel.set_title(folded(title, 3))
    shown = ", ".join(Path(str(baseline.images[index])).name for index in chosen)
    return Picture(
        "detections",
        "Where the detections differ most",
        f"Detections with a confidence of at least {CONFIDENCE:g}, seed {seed}: blue matches an object at "
        f"IoU 0.5, orange does not. These are the images where one network gains most over the other, both ways: "
        f"{shown}.",
        f"Images with objects, detections of {reference.label} and of {label} side by side.",
        figure,
    )


def _pair(reference: Variant, variant: Variant) -> tuple[int, Path, dict[int, str], Detections, Detections] | None:
    """The first seed of which both kept matches of the same images, and whose data set is there."""
    others = {run.seed: run for run in reference.counted}
    for run in variant.counted:
        if run.seed in others:
            own, other = kept_matches(run), kept_matches(others[run.seed])
            folder, names = data_of(run)
            if own is not None and other is not None and np.array_equal(own.images, other.images):
                if folder is not None:
                    return run.seed, folder, names, other, own
    return None


def all_there(images: Sequence[Path], what: str) -> bool:
    """Whether all images of a picture are there; a warning says that `what` is not drawn otherwise."""
    missing = [path for path in images if not path.is_file()]
    if missing:
        log.warning("%s are not drawn: missing images: %d, such as %s", what, len(missing), missing[0])
    return not missing


def kept_matches(run: StudyRun) -> Detections | None:
    """What a run found on the images that it is scored on; None where it kept nothing readable, which the notes say."""
    try:
        return read_matches(run.matches)
    except (FileNotFoundError, ValueError):
        return None


def data_of(run: StudyRun) -> tuple[Path | None, dict[int, str]]:
    """Folder and class names of the data set that a run was trained on; None where it is not on this machine."""
    arguments = RunFolder(run.folder).arguments
    if not arguments.is_file():
        return None, {}
    given = yaml.safe_load(arguments.read_text(encoding="utf-8"))
    file = Path(given["data"])
    if not file.is_file():
        return None, {}
    try:
        from yolo26_attention.data.splits import data_folder  # brings torch, which reading records does without

        return data_folder(file), class_names(file, given.get("single_cls", False))
    except DatasetError:
        return None, {}


def gains(baseline: Detections, variant: Detections) -> NDArray[np.float64]:
    """How much better the variant detects on each image; negative where the baseline does."""
    return np.asarray(_quality(variant) - _quality(baseline))


def extremes(gain: NDArray[np.float64], each_way: int) -> list[int]:
    """The images with the largest gains, largest first, and those with the largest losses, largest last."""
    order = np.argsort(-gain, kind="stable")
    chosen = [int(index) for index in order[:each_way] if gain[index] > 0]
    return chosen + [int(index) for index in order[::-1][:each_way][::-1] if gain[index] < 0]


def _quality(kept: Detections) -> NDArray[np.float64]:
    """Of every image: right detections, averaged over IoU thresholds, less wrong ones."""
    shown = kept.conf >= CONFIDENCE
    worth = kept.tp[shown].mean(axis=1) - ~kept.tp[shown, 0]
    # With weights NumPy sums floats, which its stub does not say.
    return np.bincount(kept.image[shown], worth, minlength=len(kept.images))  # type: ignore[return-value]


def load_image(path: Path) -> tuple[NDArray[np.uint8], float]:
    """An image small enough for a page, (H, W, 3), and its size relative to the file's."""
    from yolo26_attention.data.splits import read_image  # brings torch, too

    whole = Image.fromarray(np.ascontiguousarray(read_image(path, 3)[..., ::-1]))
    scale = min(1.0, MOST_PIXELS / max(whole.size))
    size = max(1, round(whole.width * scale)), max(1, round(whole.height * scale))
    return np.asarray(whole.resize(size)), scale


def show(panel: Axes, image: NDArray[Any]) -> None:
    """An image without ticks or frame."""
    panel.imshow(image)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)


def _draw_objects(panel: Axes, kept: Detections, index: int, scale: float, names: dict[int, str]) -> None:
    for at in np.flatnonzero(kept.object_image == index):
        _box(panel, kept.object_boxes[at] * scale, "#009E73", names.get(int(kept.object_cls[at]), ""))


def _draw_boxes(panel: Axes, kept: Detections, index: int, scale: float, names: dict[int, str]) -> None:
    for at in np.flatnonzero((kept.image == index) & (kept.conf >= CONFIDENCE)):
        name = names.get(int(kept.cls[at]), "")
        colour = RIGHT if kept.tp[at, 0] else WRONG
        _box(panel, kept.boxes[at] * scale, colour, f"{name} {kept.conf[at]:.2f}", "-" if kept.tp[at, 0] else "--")


def _box(panel: Axes, box: Sequence[float], colour: str, text: str, dashes: str = "-") -> None:
    left, top, right, bottom = box
    panel.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, color=colour, linewidth=1.3, linestyle=dashes)
    )
    panel.text(
        left, top, text, fontsize=5, color="white", va="bottom", ha="left", clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip

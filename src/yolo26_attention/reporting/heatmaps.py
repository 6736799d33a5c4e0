"""Class activation maps of the baseline, a variant and its placebo on the same images, at any site.

LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943), as in Ultralytics' `predict(visualize=True)`, which knows
only the maps that the head reads. Each detection from a confidence on, or the best one if there is none, gives a map:
the sum over channels of the activation times its positive gradient toward the score. Maps are scaled to 1 and combined
by their maximum over detections and sites.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from torch import Tensor, nn

from yolo26_attention.detector.sites import choose_sites, find_sites, layers_of
from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.evaluation.errors import CONFIDENCE
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.reporting.comparison import Compared, Results
from yolo26_attention.reporting.detections import all_there, data_of, extremes, gains, kept_matches, show
from yolo26_attention.reporting.networks import load_network, network_input, visible
from yolo26_attention.reporting.placebos import side_by_side
from yolo26_attention.reporting.study import StudyError, StudyRun
from yolo26_attention.reporting.style import INK, Picture, folded, new_figure, styled

log = logging.getLogger(__name__)
AT_RANDOM = 2
MOST_EXPLAINED = 16  # detections of an image; each needs a backward pass
COLOURS = "inferno"


def draw_heatmaps(results: Results, about: Compared, sites: Sequence[str]) -> list[Picture]:
    """Heatmaps of one seed; empty, with a warning, without checkpoints, matches or images.

    Args:
        results: of the study.
        about: the variant and its baseline.
        sites: one figure for each; none: one figure over the sites of the variant's attention.

    Raises:
        StudyError: if a network has no site of a name.
    """
    runs = _runs_of_a_seed(results, about)
    if len(runs) < 2:
        return _none("baseline and variant have no checkpoint of the same seed")
    reference, variant = list(runs.values())[:2]
    baseline, own = kept_matches(reference), kept_matches(variant)
    folder, _ = data_of(variant)
    if baseline is None or own is None or folder is None or not np.array_equal(baseline.images, own.images):
        return _none("the data set, or what baseline and variant found on the same images, is not there")
    chosen = _chosen(baseline, own)
    paths = [folder / str(own.images[index]) for index, _ in chosen]
    if not all_there(paths, "the heatmaps"):
        return []
    networks = {label: model for label, run in runs.items() if (model := load_network(run)) is not None}
    if about.variant.label not in networks or about.reference.label not in networks:
        return []
    assert variant.record is not None, "a run that counts has a record"
    imgsz, placement = variant.record.config["trainer"]["imgsz"], variant.record.config["placement"]["sites"]
    grafted = [site.name for site in choose_sites(placement, find_sites(networks[about.variant.label]))]
    return [_draw(networks, paths, chosen, group, imgsz, variant.seed) for group in [[s] for s in sites] or [grafted]]


def _none(why: str) -> list[Picture]:
    """No picture, with a warning that says why."""
    log.warning("the heatmaps are not drawn: %s", why)
    return []


def _runs_of_a_seed(results: Results, about: Compared) -> dict[str, StudyRun]:
    """The runs of the first seed of which baseline and variant have a checkpoint; the placebo's where there is one."""
    found = {
        variant.label: {run.seed: run for run in variant.counted if RunFolder(run.folder).best.is_file()}
        for variant in side_by_side(results, about)
    }
    reference, variant = found[about.reference.label], found[about.variant.label]
    seeds = [seed for seed in reference if seed in variant]
    return {} if not seeds else {label: runs[seeds[0]] for label, runs in found.items() if seeds[0] in runs}


def _chosen(baseline: Detections, variant: Detections) -> list[tuple[int, str]]:
    """Images where the detections differ most, one each way, and some at random; each with the reason."""
    gain = gains(baseline, variant)
    chosen = [(index, "variant better" if gain[index] > 0 else "baseline better") for index in extremes(gain, 1)]
    rest = np.setdiff1d(np.arange(len(gain)), [index for index, _ in chosen])
    drawn = np.random.default_rng(0).choice(rest, min(AT_RANDOM, len(rest)), replace=False)
    return chosen + [(int(index), "random") for index in drawn]


def _draw(
    networks: dict[str, nn.Module], paths: Sequence[Path], chosen: Sequence[tuple[int, str]], sites: Sequence[str],
    imgsz: int, seed: int,
) -> Picture:  # fmt: skip
    labels, where = list(networks), "+".join(sites)
    with styled():
        figure, axes = new_figure(0.9 + 1.62 * len(paths), rows=len(paths), columns=len(labels))
        for row, (path, (_, reason)) in enumerate(zip(paths, chosen, strict=True)):
            for column, label in enumerate(labels):
                image = network_input(networks[label], path, imgsz)
                heat = layer_cam(networks[label], image, sites)
                panel = axes[row * len(labels) + column]
                show(panel, visible(image))
                panel.imshow(heat, cmap=COLOURS, vmin=0, vmax=1, alpha=0.75 * heat, interpolation="nearest")
            axes[row * len(labels)].set_ylabel(reason, color=INK)
        for panel, label in zip(axes, labels, strict=False):
            panel.set_title(folded(label, len(labels)))
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, 1), COLOURS), ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02
        )
        bar.set_label("evidence for the detections, relative to the strongest", color=INK)
    names = ", ".join(path.name for path in paths)
    return Picture(
        f"heatmaps_{where}",
        f"Heatmaps at {where}",
        f"LayerCAM of the detections with a confidence of at least {CONFIDENCE:g}, or of the best one, seed "
        f"{seed}. The images are those where one network gains most over the other, and others at random: {names}. A "
        "heatmap shows where evidence is, not whether it is right.",
        f"Images with heatmaps at {where} of {', '.join(labels)} side by side.",
        figure,
    )


def layer_cam(model: nn.Module, image: NDArray[np.float32], sites: Sequence[str]) -> NDArray[np.float32]:
    """The class activation map of an image, from 0 to 1.

    Args:
        model: a detector in evaluation mode.
        image: (H, W, C) as the network takes it.
        sites: whose maps are combined.

    Returns:
        (H, W)

    Raises:
        StudyError: if the network has no such site.
    """
    known = find_sites(model)
    if missing := [site for site in sites if site not in known]:
        raise StudyError(f"sites={','.join(sites)}: the network has no site {missing[0]}; it has {', '.join(known)}")
    layers = layers_of(model)
    maps: list[Tensor] = []
    logits: list[Tensor] = []

    def keep_map(_: nn.Module, __: Any, out: Tensor) -> None:
        maps.append(out)

    def keep_logits(head: nn.Module, _: Any, out: Any) -> None:
        raw = out[1] if isinstance(out, tuple) else out
        branch: Any = getattr(head, "end2end", False)
        logits.append(raw.get("one2one" if branch else "one2many", raw)["scores"][0])

    hooks = [layers[known[site].layer].register_forward_hook(keep_map) for site in sites]
    hooks.append(layers[-1].register_forward_hook(keep_logits))
    x = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).requires_grad_()  # parameters have no gradients
    try:
        with torch.enable_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    scores = logits[0].amax(0)  # of each anchor
    order = scores.argsort(descending=True)[:MOST_EXPLAINED]
    explained = order[: max(int((scores[order].sigmoid() >= CONFIDENCE).sum()), 1)]
    heat = torch.zeros(image.shape[:2])
    for anchor in explained:
        gradients = torch.autograd.grad(scores[anchor], maps, retain_graph=True, allow_unused=True)
        for activation, gradient in zip(maps, gradients, strict=True):
            if gradient is None:
                continue
            cam = (gradient.clamp(min=0) * activation).sum(1, keepdim=True).clamp(min=0)
            cam = nn.functional.interpolate(cam, image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
            heat = torch.maximum(heat, (cam / cam.amax().clamp(min=1e-7)).detach())
    result: NDArray[np.float32] = heat.numpy()
    return result

"""Where ACmix looks: the attention of its windows on the images that score it, read out of a trained checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.window_border import fold_reflection
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.mix import attention_groups
from yolo26_attention.detector.modes import Gated
from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.windows import SiteSpread, Spread
from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.detections import all_there, data_of, kept_matches, show
from yolo26_attention.reporting.networks import load_network, network_input, visible
from yolo26_attention.reporting.study import StudyRun
from yolo26_attention.reporting.style import INK, Picture, new_figure, styled

IMAGES = 3
MOST_SITES = 3
COLOURS = "PuOr_r"  # told apart with any colour vision
REACH = 2.0  # in powers of two either way
UNDER_TEST = "acmix"


@dataclass(frozen=True)
class Look:
    """Where one pixel looks at one site.

    Attributes:
        ratio: (H, W) weight of every pixel of the site's map relative to an even look at the window; NaN outside it.
        query: row and column of the pixel.
        spread: over how many pixels of the window's a head of a pixel of this image spreads its attention, on average.
        window: pixels of a window.
    """

    ratio: NDArray[np.float64]
    query: tuple[int, int]
    spread: float
    window: int


def draw_windows(results: Results, said: Answer) -> tuple[Picture, str, Spread] | None:
    """The windows around the smallest object of some images; the variant, and how far its attention spreads.

    None unless there are a checkpoint with ACmix, matches and the images; a warning says which images are missing.
    """
    run = _run(results, said)
    if run is None or run.record is None:
        return None
    kept, (folder, _) = kept_matches(run), data_of(run)
    if kept is None or folder is None or not len(kept.object_cls):
        return None
    chosen = _chosen(kept)
    paths = [folder / str(kept.images[index]) for index in chosen]
    if not all_there(paths, "the windows"):
        return None
    model = load_network(run)
    if model is None:
        return None
    looks = []
    for index, path in zip(chosen, paths, strict=True):
        image, seen = _see(model, path, run.record.config["trainer"]["imgsz"])
        centre = _centre(kept, index, image.shape[:2])
        looks.append((image, {site: look_at(*of, image.shape[:2], centre) for site, of in seen.items()}))
    sites = list(looks[0][1])[:MOST_SITES]
    if not sites:  # a checkpoint without a recorded digest may hold another network
        return None
    norm = Normalize(-REACH, REACH)
    with styled():
        figure, axes = new_figure(0.9 + 1.62 * len(looks), rows=len(looks), columns=len(sites))
        for row, (image, own) in enumerate(looks):
            for column, site in enumerate(sites):
                panel = axes[row * len(sites) + column]
                show(panel, visible(image))
                _draw(panel, own[site], image.shape[:2], norm)
        for panel, site in zip(axes, sites, strict=False):
            panel.set_title(site)
        bar = figure.colorbar(
            ScalarMappable(norm, COLOURS), ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02,
            ticks=[-2, -1, 0, 1, 2],
        )  # fmt: skip
        bar.ax.set_xticklabels(["1/4", "1/2", "1", "2", "4"])
        bar.set_label("weight / weight of an even look", color=INK)
    reached = {
        site: SiteSpread(float(np.mean([own[site].spread for _, own in looks])), looks[0][1][site].window)
        for site in sites
    }
    spread = "On average each head of a pixel spreads its attention over " + ", ".join(
        f"{each.pixels:.0f} of {each.window} pixels at {site}" for site, each in reached.items()
    )
    picture = Picture(
        "windows",
        f"Where {run.variant} looks",
        "The window (dotted) of the pixel in the middle of an image's smallest object (framed), averaged over heads: "
        f"orange pixels are looked at more than evenly, purple ones less. {spread}. Seed {run.seed}.",
        f"Images with the attention windows of {run.variant} drawn over them. {spread}.",
        figure,
    )
    finite = {site: each for site, each in reached.items() if np.isfinite(each.pixels)}
    return picture, run.variant, Spread(run.name, finite)


def _run(results: Results, said: Answer) -> StudyRun | None:
    """The run whose network is looked into: of the variant spoken of if that has ACmix, else of any that has."""
    for variant in [*([] if said.about is None else [said.about.variant]), *results.variants]:
        if variant.records and _attends(variant.records[0].config["attention"]):
            for run in variant.counted:
                if RunFolder(run.folder).best.is_file():
                    return run
    return None


def _attends(attention: Mapping[str, Any]) -> bool:
    """Whether an attention, or one of a mix, is an ACmix with windows."""
    entries = [{**each, **(each.get("options") or {})} for each in attention_groups(attention)]
    return any(each["name"] == UNDER_TEST and each.get("paths") != "convolution" for each in entries)


def _chosen(kept: Detections) -> list[int]:
    """Images with objects, evenly over the set."""
    able = np.unique(kept.object_image)
    return [int(able[at]) for at in np.unique(np.linspace(0, len(able) - 1, IMAGES + 2).astype(int)[1:-1])]


def _centre(kept: Detections, index: int, size: tuple[int, int]) -> tuple[float, float]:
    """Row and column, in pixels of the network's input, of the middle of an image's smallest object."""
    boxes = kept.object_boxes[kept.object_image == index]
    left, top, right, bottom = boxes[np.argmin((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))]
    height, width = kept.shapes[index]
    gain = min(size[0] / height, size[1] / width)  # as Ultralytics letterboxes
    above, before = (size[0] - height * gain) / 2, (size[1] - width * gain) / 2
    return above + gain * (top + bottom) / 2, before + gain * (left + right) / 2


def _see(model: nn.Module, path: Path, imgsz: int) -> tuple[NDArray[np.float32], dict[str, tuple[ACmix, Tensor]]]:
    """The image as the network takes it, (H, W, C) in 0 to 1, and every site's ACmix with what comes into it."""
    image = network_input(model, path, imgsz)
    found = grafted_attention(model).items()
    inside = {site: module.attention if isinstance(module, Gated) else module for site, module in found}
    modules = {
        site: module for site, module in inside.items() if isinstance(module, ACmix) and module.paths != "convolution"
    }
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _, inputs: seen.__setitem__(name, inputs[0])

    hooks = [module.register_forward_pre_hook(keep(site)) for site, module in modules.items()]
    with torch.inference_mode():
        model(torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0))
    for hook in hooks:
        hook.remove()
    return image, {site: (modules[site], x) for site, x in seen.items()}


def look_at(module: ACmix, x: Tensor, size: tuple[int, int], centre: tuple[float, float]) -> Look:
    """Where the pixel nearest to a place of the image looks.

    Args:
        module: of the site.
        x: (1, C, H, W), what comes into it.
        size: height and width of the image.
        centre: row and column in the image.
    """
    with torch.inference_mode():
        heads = module.attention_weights(x.float())[0].double()  # (heads, window, H', W')
    weights = heads.mean(0)
    side, dilation, stride = module.kernel_att, module.dilation, module.stride
    row, column = (
        min(int(at / whole * cells), cells - 1)
        for at, whole, cells in zip(centre, size, weights.shape[1:], strict=True)
    )
    border, reach = dilation * (side // 2), dilation * side

    def on_map(values: Tensor) -> Tensor:
        padded = values.new_zeros(x.shape[2] + 2 * border, x.shape[3] + 2 * border)
        top, left = row * stride, column * stride
        padded[top : top + reach : dilation, left : left + reach : dilation] = values.view(side, side)
        return fold_reflection(padded, border)

    own, even = on_map(weights[:, row, column]), on_map(torch.full((side**2,), 1 / side**2, dtype=weights.dtype))
    ratio = torch.where(even > 0, own / even, torch.nan)
    entropy = -torch.special.xlogy(heads, heads).sum(1)  # of each head: several may share a window between them
    return Look(ratio.numpy(), (row * stride, column * stride), entropy.exp().mean().item(), side**2)


def _draw(panel: Axes, look: Look, size: Sequence[int], norm: Normalize) -> None:
    """The window over an image; an even look is clear, so that the image shows through."""
    power = np.log2(np.where(look.ratio > 0, look.ratio, np.nan))
    alpha = np.nan_to_num(0.9 * np.clip(np.abs(power) / REACH, 0, 1))
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    panel.imshow(np.nan_to_num(power), cmap=COLOURS, norm=norm, alpha=alpha, extent=extent, interpolation="nearest")
    height, width = (side / cells for side, cells in zip(size, look.ratio.shape, strict=True))
    rows, columns = (np.flatnonzero(np.isfinite(look.ratio).any(axis=axis)) for axis in (1, 0))
    _frame(panel, (rows[0], columns[0]), (rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]), (height, width), ":")
    _frame(panel, look.query, (1, 1), (height, width), "-")


def _frame(panel: Axes, at: tuple[int, int], cells: tuple[int, int], size: tuple[float, float], dashes: str) -> None:
    """Frame cells of a map, `size` pixels each, in black on white, seen on any image."""
    corner = at[1] * size[1] - 0.5, at[0] * size[0] - 0.5
    for colour, width in (("white", 1.8), ("black", 0.8)):
        panel.add_patch(
            Rectangle(
                corner, cells[1] * size[1], cells[0] * size[0], fill=False, edgecolor=colour, linewidth=width,
                linestyle=dashes if colour == "black" else "-",
            )
        )  # fmt: skip

"""Entry: export a finished run, and compare the exported network with PyTorch.

python -m src.export run=RUN format=onnx
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig, OmegaConf

from yolo26_attention.config.command_line import exit_with, hydra_command
from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.config.hydra_errors import job_config
from yolo26_attention.config.registration import export_config, own_folders
from yolo26_attention.config.schema import ExportConfig
from yolo26_attention.files.atomic import PARTIAL, move_into_place
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import Record
from yolo26_attention.study.inventory import resolve_run

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.nn.tasks import BaseModel

    from yolo26_attention.detector.trust import Trust
    from yolo26_attention.latency.backends import Deployed


def find_run(run: str, output_dir: str, study: str | None = None) -> Path:
    """Find the folder of a finished run.

    Args:
        run: its name, hash or folder; STUDY/VARIANT or `best` as in `resolve_run`.
        output_dir: where to look for runs.
        study: the study among whose runs `best` chooses.

    Raises:
        ConfigError: if the run does not exist or is not finished.
    """
    folder = resolve_run(run, Path(output_dir), study)
    with as_config_error():
        record = Record.read(folder)
    if record is None or record.status != "finished":
        status = None if record is None else record.status
        raise ConfigError(f"run={run} is {status}, not finished; finish it first (its command resumes it)")
    if not RunFolder(folder).best.is_file():
        raise ConfigError(f"run={run}: {RunFolder(folder).best} is gone; train it again with force=true")
    return folder.absolute()


def export_run(options: ExportConfig) -> str:
    """Export and compare; returns the result as lines of text.

    Args:
        options: as read from the command line.

    Raises:
        ConfigError: naming the key, the value and a way out.
        ParityError: if the exported network does not match PyTorch.
    """
    import yaml

    from yolo26_attention.detector.sites import largest_stride
    from yolo26_attention.detector.trust import Trust
    from yolo26_attention.latency.backends import check_format
    from yolo26_attention.run.measuring import CheckpointError, load_finished

    folder = find_run(options.run, options.output_dir, options.study)
    arguments = yaml.safe_load(RunFolder(folder).arguments.read_text(encoding="utf-8"))
    with as_config_error():
        device = check_format(options.format, options.int8)
    record = Record.read(folder)
    assert record is not None, "find_run has read it"
    trust = Trust(options.trust, tuple(own_folders()))
    try:
        changed = _code_changed(record, trust)
        model = load_finished(record, folder, trust, device)
    except (ValueError, CheckpointError) as error:
        raise ConfigError(f"run={options.run}: {error}") from error
    if options.check:
        _check_comparable(options, changed, Path(arguments["data"]))
    sides = _sides(options.imgsz or arguments["imgsz"], largest_stride(model))
    lines = []
    if changed is not None:
        lines.append(f"WARNING: {changed}; this is not the network that the run measured")
    with _kept_if_good(RunFolder(folder).best.parent) as (aside, keep):
        made = _exported(model, aside, options, sides, arguments["data"])
        if options.check:
            lines += _compared(made, model, options, sides, arguments)
        file = keep(made)
    return "\n".join([f"exported  {file}", *lines])


def _check_comparable(options: ExportConfig, changed: str | None, data: Path) -> None:
    """Check that the export can be compared with PyTorch, before it is made."""
    if changed is not None:
        raise ConfigError(
            f"run={options.run}: {changed}, so the export would be another network than the run measured; put the "
            "code back, train it again, or export it with today's code and without a comparison: check=false"
        )
    if options.nms is not None:
        raise ConfigError(
            f"nms={str(options.nms).lower()} changes the output, which is compared before suppression; "
            "leave it out, or skip the comparison: check=false"
        )
    if not data.is_file():
        raise ConfigError(f"{data} is gone, so nothing can be compared; restore it, or use check=false")


@contextmanager
def _kept_if_good(weights: Path) -> Iterator[tuple[Path, Callable[[Path], Path]]]:
    """A folder for an export, and a function that moves it beside the checkpoint, in place of an earlier one."""
    from yolo26_attention.compat.ultralytics_log import shown_in_place

    def keep(made: Path) -> Path:
        place = weights / made.name
        if made.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            os.replace(made, place)
        else:
            move_into_place(made, place)
        return place

    with (
        tempfile.TemporaryDirectory(prefix="export.", suffix=PARTIAL, dir=weights) as aside,
        shown_in_place(Path(aside), weights),
    ):
        yield Path(aside), keep


def _exported(model: "BaseModel", aside: Path, options: ExportConfig, sides: list[int], data: str) -> Path:
    from yolo26_attention.latency.backends import export

    how = {key: getattr(options, key) for key in ("batch", "dynamic", "half", "int8", "simplify", "nms", "opset")}
    try:
        return export(model, options.format, folder=aside, name="best", imgsz=sides, data=data, **how)
    except (ImportError, AssertionError, ValueError) as error:
        raise ConfigError(f"format={options.format}: the export is refused: {error}") from error
    except Exception as error:  # a converter may raise anything
        raise ConfigError(
            f"format={options.format}: the converter failed: {type(error).__name__}: {error}; if a warning above names "
            "a package, install it; HYDRA_FULL_ERROR=1 shows the traceback"
        ) from error


def _compared(
    made: Path, model: "BaseModel", options: ExportConfig, sides: list[int], arguments: dict[str, Any]
) -> list[str]:
    """Compare an export with PyTorch; returns the result as lines of text.

    Raises:
        ConfigError: if it does not run here, or if the images are gone.
        ParityError: if it does not match PyTorch.
    """
    from yolo26_attention.detector.sites import channels_of
    from yolo26_attention.latency.end_to_end import validation_images
    from yolo26_attention.latency.parity import check_parity, validate_deployed

    try:
        images = validation_images(Path(arguments["data"]), channels_of(model))
    except FileNotFoundError as error:
        raise ConfigError(f"{error}\nRestore the images, or skip the comparison: check=false") from error
    deployed, prepared = _running(made, options, images, sides, next(model.parameters()).device)
    with tempfile.TemporaryDirectory() as scratch:

        def validate(network: "AutoBackend") -> float:
            # A graph of one size takes no other.
            imgsz = arguments["imgsz"] if options.dynamic else sides[0]
            single_cls = arguments.get("single_cls", False)
            return validate_deployed(network, arguments["data"], imgsz, options.batch, scratch, single_cls)

        found = check_parity(
            deployed,
            model,
            options.format,
            "int8" if options.int8 else "fp16" if options.half else "fp32",
            prepared,
            # Ultralytics' validator knows only squares.
            None if sides[0] != sides[1] else validate,
        )
    if found is None:
        return []
    lines = [f"largest difference from PyTorch on validation images  {found.largest_difference:.1e}"]
    if found.map50_95 is not None:
        lines.append(f"mAP50-95  {found.map50_95:.4f}, in PyTorch {found.pytorch_map50_95:.4f}")
    return lines


def _running(
    made: Path, options: ExportConfig, images: "Sequence[np.ndarray]", sides: list[int], device: "torch.device"
) -> "tuple[Deployed, list[Tensor]]":
    """Load an export, prepare images for it, and run it once.

    Raises:
        ConfigError: if the runtime of its format does not work here.
    """
    from yolo26_attention.latency.backends import load_export
    from yolo26_attention.latency.end_to_end import EndToEnd

    try:
        deployed = load_export(made, device, half=options.half)
        end = EndToEnd(deployed.network, max(sides), device)
        end.predictor.imgsz = sides
        prepared = [end.prepare([image] * (1 if options.dynamic else options.batch)) for image in images]
        deployed.network(prepared[0])
    except Exception as error:  # a runtime may raise anything
        raise ConfigError(
            f"format={options.format}: the exported network does not run here, so it cannot be compared and is not "
            f"kept: {type(error).__name__}: {error}; check=false keeps it without a comparison"
        ) from error
    return deployed, prepared


def _sides(imgsz: Any, stride: int) -> list[int]:
    """Height and width of the image.

    Raises:
        ConfigError: if they are no numbers, or do not fit the network.
    """
    sides = [imgsz, imgsz] if isinstance(imgsz, int) else imgsz
    if not isinstance(sides, list) or len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ConfigError(f"imgsz={imgsz} is neither a side nor [height,width]; try imgsz=640 or imgsz=[384,640]")
    if any(side < stride or side % stride for side in sides):
        fitting = [max(round(side / stride), 1) * stride for side in sides]
        way_out = fitting[0] if isinstance(imgsz, int) else f"[{fitting[0]},{fitting[1]}]"
        raise ConfigError(f"imgsz={imgsz} is not a multiple of {stride}, the network's largest stride; try {way_out}")
    return sides


def _code_changed(record: Record, trust: "Trust") -> str | None:
    """Whether a user's class is no longer the one that was trained; None if its code may not run, as for its loading.

    Raises:
        ValueError: if the class cannot be imported.
    """
    from yolo26_attention.detector.mix import attention_groups
    from yolo26_attention.plan.own_code import code_changed

    groups = attention_groups(record.config.get("attention", {}))
    may_run = [one for one in groups if trust.everything or trust.covers(str(one.get("_target_")))]
    return next(filter(None, map(code_changed, may_run)), None)


@hydra.main(config_path="../conf", config_name="export", version_base="1.3")
def main(config: DictConfig) -> None:
    """Export one run."""
    from yolo26_attention.latency.parity import ParityError

    try:
        if OmegaConf.is_missing(config, "run"):
            raise ConfigError("run=NAME is missing: the name, hash or folder of a finished run")
        print(export_run(job_config(config, export_config)))
    except (ConfigError, ParityError) as error:
        exit_with(error)


if __name__ == "__main__":
    with hydra_command("no export was changed; run the same command again", ExportConfig):
        main()

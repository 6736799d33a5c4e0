"""Entry: export a finished run, and compare the exported network with PyTorch.

python -m src.export run=RUN format=onnx
"""

import os
import pickle
import shutil
import tempfile
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
from yolo26_attention.files.record import Record, replaced_best
from yolo26_attention.study.inventory import resolve_run

if TYPE_CHECKING:
    from ultralytics.nn.autobackend import AutoBackend

    from yolo26_attention.detector.trust import Trust


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

    from yolo26_attention.detector.sites import channels_of, largest_stride
    from yolo26_attention.detector.trust import Trust, known_classes_only
    from yolo26_attention.latency.backends import check_format, load_export
    from yolo26_attention.latency.end_to_end import EndToEnd, validation_images
    from yolo26_attention.latency.parity import check_parity, validate_deployed
    from yolo26_attention.latency.trained import fused, load_best
    from yolo26_attention.run.ownership import other_network
    from yolo26_attention.training.state import damage

    folder = find_run(options.run, options.output_dir, options.study)
    arguments = yaml.safe_load(RunFolder(folder).arguments.read_text(encoding="utf-8"))
    fmt = options.format
    with as_config_error():
        device = check_format(fmt, options.int8)
    best, record = RunFolder(folder).best, Record.read(folder)
    assert record is not None, "find_run has read it"
    if problem := damage(best) or replaced_best(record, folder):
        raise ConfigError(f"run={options.run}: {problem}; train it again with force=true")
    trust = Trust(options.trust, tuple(own_folders()))
    try:
        changed = _code_changed(folder, trust)
        with known_classes_only("best.pt", best, trust):
            model = load_best(best, device)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ConfigError(f"run={options.run}: {error}") from error
    if "best" not in record.checkpoints and (problem := other_network(record, best, model, fused(model))):
        raise ConfigError(f"run={options.run}: {problem}; train it again with force=true")
    if changed is not None and options.check:
        raise ConfigError(
            f"run={options.run}: {changed}, so the export would be another network than the run measured; put the "
            "code back, train it again, or export it with today's code and without a comparison: check=false"
        )
    if options.check and options.nms is not None:
        raise ConfigError(
            f"nms={str(options.nms).lower()} changes the output, which is compared before suppression; "
            "leave it out, or skip the comparison: check=false"
        )
    sides = _sides(options.imgsz or arguments["imgsz"], largest_stride(model))
    how = {key: getattr(options, key) for key in ("batch", "dynamic", "half", "int8", "simplify", "nms", "opset")}
    try:
        file = _exported(model, best.parent, fmt, imgsz=sides, data=arguments["data"], **how)
    except (ImportError, AssertionError, ValueError) as error:
        raise ConfigError(f"format={fmt}: the export is refused: {error}") from error
    lines = [f"exported  {file}"]
    if changed is not None:
        lines.append(f"WARNING: {changed}; this is not the network that the run measured")
    if options.check:
        if not Path(arguments["data"]).is_file():
            raise ConfigError(f"{arguments['data']} is gone, so nothing is compared; restore it, or use check=false")
        deployed = load_export(file, device, half=options.half)
        end = EndToEnd(deployed.network, max(sides), device)
        end.predictor.imgsz = sides
        try:
            images = validation_images(Path(arguments["data"]), channels_of(model))
        except FileNotFoundError as error:
            raise ConfigError(f"{error}\nRestore the images, or skip the comparison: check=false") from error
        with tempfile.TemporaryDirectory() as scratch:

            def validate(network: "AutoBackend") -> float:
                # A graph of one size takes no other.
                imgsz = arguments["imgsz"] if options.dynamic else sides[0]
                single_cls = arguments.get("single_cls", False)
                return validate_deployed(network, arguments["data"], imgsz, options.batch, scratch, single_cls)

            found = check_parity(
                deployed,
                model,
                fmt,
                "int8" if options.int8 else "fp16" if options.half else "fp32",
                [end.prepare([image] * (1 if options.dynamic else options.batch)) for image in images],
                # Ultralytics' validator knows only squares.
                None if sides[0] != sides[1] else validate,
            )
        if found is not None:
            lines.append(f"largest difference from PyTorch on validation images  {found.largest_difference:.1e}")
            if found.map50_95 is not None:
                lines.append(f"mAP50-95  {found.map50_95:.4f}, in PyTorch {found.pytorch_map50_95:.4f}")
    return "\n".join(lines)


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


def _code_changed(folder: Path, trust: "Trust") -> str | None:
    """Whether a user's class is no longer the one that was trained; None if its code may not run, as for its loading.

    Raises:
        ValueError: if the class cannot be imported.
    """
    from yolo26_attention.detector.mix import attention_groups
    from yolo26_attention.plan.own_code import code_changed

    record = Record.read(folder)
    attention = {} if record is None else record.config.get("attention", {})
    groups = attention_groups(attention)
    may_run = [one for one in groups if trust.everything or trust.covers(str(one.get("_target_")))]
    return next(filter(None, map(code_changed, may_run)), None)


def _exported(model: Any, weights: Path, fmt: str, **how: Any) -> Path:
    """Export beside the checkpoint; an existing file is replaced only after a complete export."""
    from yolo26_attention.compat.ultralytics_log import shown_in_place
    from yolo26_attention.latency.backends import export

    with (
        tempfile.TemporaryDirectory(prefix="export.", suffix=PARTIAL, dir=weights) as aside,
        shown_in_place(Path(aside), weights),
    ):
        made = export(model, fmt, folder=Path(aside), name="best", **how)
        place = weights / made.name
        if made.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            os.replace(made, place)
        else:
            move_into_place(made, place)
    return place


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

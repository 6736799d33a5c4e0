"""Run folders as training leaves them, with made-up numbers, for tests and benchmarks of what reads them."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.files.latency import Latency, MachineUse, PeakMemory, Ratio, Throughput, Timing
from yolo26_attention.files.model import ParameterGroup, PlaceboMatch, TrainedModel
from yolo26_attention.files.record import Record
from yolo26_attention.files.timings import Target, TimedVariant

if TYPE_CHECKING:
    from yolo26_attention.training.state import TrainingState

# The shape of a run's configuration, as far as anything reads it.
CONFIG = {
    "attention": {"name": "baseline"},
    "placement": {"sites": ["p3", "p4", "p5"], "mode": "append", "gate": "none"},
    "model": {"name": "yolo26n", "weights": None},
    "data": {"name": "digits", "yaml": None, "imgsz": 160},
    "optimizer": {"name": "MuSGD", "lr0": 0.01, "attention": {"lr_factor": 1.0, "muon": True}},
    "trainer": {"epochs": 12, "batch": 8, "imgsz": 128, "device": None, "workers": 8, "threads": None},
    "tracking": {"mode": "disabled", "project": "tests", "entity": None, "tags": []},
    "latency": {"enabled": True},
    "placebo": {"matches": "acmix", "options": None, "by": "parameters"},
    "seed": 0,
    "study": "made_up",
    "output_dir": "outputs",
    "force": False,
}
ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.15.0", "ultralytics": "8.4.190"},
    "git": "0123456789abcdef",
    "platform": "Linux",
    "cpu_count": 2,
    "device": "cpu",
}
GROUPS = [ParameterGroup(group, 0.01, 0.0005, False, 96, []) for group in ("weight", "bn", "bias", "muon") * 2]
NAMES = {"baseline": "baseline", "placebo": "placebo_of_acmix"}


def config_of(attention: Mapping[str, Any], seed: int, study: str = "made_up", **changes: Any) -> dict[str, Any]:
    """A configuration with this attention; `changes` are dotted keys with __ for the dot."""
    config = copy.deepcopy(CONFIG)
    config |= {"attention": dict(attention), "seed": seed, "study": study}
    for key, value in changes.items():
        node = config
        *parents, last = key.split("__")
        for parent in parents:
            node = node[parent]
        node[last] = value
    return config


def timing(ratio: float = 1.0, **changes: Any) -> Timing:
    """Two networks timed in turn."""
    quantiles = {"p50_ms": 9.0 * ratio, "p95_ms": 9.9 * ratio, "p99_ms": 9.99 * ratio}
    stock = {"stock_p50_ms": 9.0, "stock_p95_ms": 9.9, "stock_p99_ms": 9.99}
    interval = {"ratio_to_stock": ratio, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01}
    return Timing(**{**quantiles, **stock, **interval, "narrow": True, "pairs": 200, "seconds": 3.0, **changes})


def latency_of(ratio: float = 1.0, **changes: Any) -> Latency:
    """A measurement of a network on a quiet machine."""
    values = {
        **vars(timing(ratio)), "backend": "eager", "precision": "fp32", "batch": 1, "imgsz": 128, "threads": 1,
        "clock": "monotonic", "images": 8, "end_to_end": timing(ratio), "throughput": {},
        "memory": PeakMemory(7.0 * ratio, 7.0, ratio, "PyTorch's allocator on the CPU"), "parity": None,
        "busy": False, "throttled": None, "machine": MachineUse(0.0, 2),
    }  # fmt: skip
    return Latency(**{**values, **changes})


def target_of(ratios: Mapping[str, float], runs: Mapping[str, str], **options: Any) -> Target:
    """Where the variants of a study were timed together on a quiet machine; the first one is the baseline.

    Args:
        ratios: latency over stock's by label.
        runs: the run that was timed by label.
        options: other than those of PyTorch on one thread of a CPU.
    """
    first = next(iter(ratios))
    where = {
        "device": "cpu", "cpu": "Made-up(R) CPU 9000 @ 3.00GHz", "backend": "eager", "precision": "fp32", "batch": 1,
        "imgsz": None, "threads": 1, "seconds": 10.0, "width": 0.01, **options,
    }  # fmt: skip
    variants = {
        label: TimedVariant(
            runs[label],
            latency_of(ratio, backend=where["backend"], throughput={"8": Throughput(240 / ratio, 240.0, ratio, 50)}),
            None if label == first else first,
            None if label == first else Ratio(ratio / ratios[first], ratio / ratios[first] - 0.01, ratio + 0.01),
        )
        for label, ratio in ratios.items()
    }
    return Target(where, dict(ENVIRONMENT), "2026-01-31 12:00", variants)


def model_of(ratio: float = 1.0, **changes: Any) -> TrainedModel:
    """The network of a finished run, trained from a random start."""
    values = {
        "parameters": int(2_500_000 * ratio), "gflops": 0.2 * ratio, "thop_gflops": 0.21 * ratio, "flops_imgsz": 128,
        "stock_tensors_loaded": 0, "stock_tensors_total": 708, "stock_tensors_lost": [], "placebo": {},
    }  # fmt: skip
    return TrainedModel(**{**values, **changes})


def match_of(mismatch: float, by: str = "parameters") -> PlaceboMatch:
    """A placebo beside an attention of a thousand parameters or FLOPs."""
    return PlaceboMatch(by, 1000, round(1000 * (1 + mismatch)), mismatch)


def training_state(**changes: Any) -> "TrainingState":
    """The state of a training of nothing."""
    from yolo26_attention.training.state import TrainingState  # imports torch

    none: dict[str, Any] = {}
    values = {
        "epoch": 0, "epochs": 2, "done": False, "seconds": 1.0, "batch_size": 4, "last_opt_step": -1,
        "mosaic_closed": False, "model": none, "criterion": none, "ema": none, "updates": 0, "gradients": none,
        "optimizer": none, "scheduler": none, "scaler": none, "stopper": none, "fitness": none, "metrics": none,
        "loss_names": (), "best_before": False, "validator": none, "streams": None, "loader": None, "texts": none,
    }  # fmt: skip
    return TrainingState(**{**values, **changes})


def write_run(
    output_dir: Path,
    config: Mapping[str, Any],
    map50_95: float | None = 0.5,
    *,
    status: str = "finished",
    error: str | None = None,
    ratio: float = 1.0,
    epochs: int = 3,
    **fields: Any,
) -> Path:
    """One run's folder with its record and journal.

    Args:
        output_dir: as of the program.
        config: as `config_of` makes it.
        map50_95: of best.pt; None leaves the metrics out.
        status, error: of the record.
        ratio: latency relative to stock.
        epochs: in the journal.
        fields: more of the record.
    """
    attention = config["attention"]
    name = NAMES.get(attention["name"], attention["name"])
    options = "".join(f"-{key}{value}" for key, value in attention.items() if key != "name")
    folder = output_dir / "runs" / f"{name}{options}-{config['trainer']['epochs']}-s{config['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    finished = status == "finished"
    rest = {"map50": 0.8, "precision": 0.7 + config["seed"] / 1000, "recall": 0.6}  # no seed is a copy of another
    metrics = {} if map50_95 is None else {"map50_95": map50_95, **rest}
    throughput = {"8": Throughput(240 / ratio, 240.0, ratio, 50)}
    values = {
        "metrics": metrics if finished else {},
        "model": model_of(ratio) if finished else None,
        "latency": latency_of(ratio, throughput=throughput) if finished else None,
        "environment": ENVIRONMENT,
        "optimizer": GROUPS,
        "seconds": 60.0,
        "ap_by_size": {"small": 0.4, "medium": 0.6, "large": None} if finished else {},
        "ap_by_class": {"zero": 0.5, "one": 0.6} if finished else {},
        **fields,
    }
    record = Record(
        run_id=folder.name, name=folder.name, study=config["study"], seed=config["seed"], config=dict(config),
        status=status, error=error, **values,
    )  # fmt: skip
    record.write(folder)
    (folder / "config.yaml").write_text("made: up\n")
    rates = attention["name"] == "acmix"
    lines = [
        {
            "event": "epoch",
            "epoch": epoch,
            "values": {"metrics/mAP50-95(B)": (map50_95 or 0.0) * epoch / epochs, "train/box_loss": 3.0 / epoch},
            "scalars": {f"p{i}/rate{r}": 0.5 + 0.01 * epoch * i * (3 - 2 * r) for i in (3, 4, 5) for r in (1, 2)}
            if rates
            else {},
        }
        for epoch in range(1, epochs + 1)
    ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_matches(folder: Path, seed: int, right: float, images: int = 8) -> None:
    """What a run found on some images with two objects each, and the images themselves beside the runs.

    Args:
        folder: of the run.
        seed: of the detections.
        right: share of objects that are found.
        images: how many.
    """
    generator = np.random.default_rng(seed)
    data = folder.parent.parent / "data"
    names = np.array([f"images/val/{index}.png" for index in range(images)])
    if not data.exists():
        (data / "images" / "val").mkdir(parents=True)
        (data / "data.yaml").write_text("train: images/val\nval: images/val\nnames: [zero, one]\n")
        for index, name in enumerate(names):
            noise = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(data / name)
    (folder / "train").mkdir(exist_ok=True)
    (folder / "train" / "args.yaml").write_text(f"data: {data / 'data.yaml'}\n")
    of, cls = np.repeat(np.arange(images), 2), np.tile([0, 1], images)
    boxes = np.tile(np.array([[4, 4, 24, 24], [34, 30, 60, 60]], dtype=np.float32), (images, 1))
    found = generator.random(2 * images) < right
    order = np.argsort(-generator.random(2 * images))
    seen, as_cls = boxes.copy(), cls.copy()
    wrong = np.flatnonzero(~found)
    seen[wrong[::3]] += 8  # overlaps too little
    as_cls[wrong[1::3]] = 1 - cls[wrong[1::3]]
    seen[wrong[2::3]] = (26, 2, 33, 22)  # nothing is there
    Detections(
        images=names,
        shapes=np.full((images, 2), 64),
        image=of[order],
        cls=as_cls[order],
        conf=np.linspace(0.9, 0.3, 2 * images).astype(np.float32),
        boxes=seen[order],
        tp=np.repeat(found[order, None], 10, axis=1),
        object_image=of,
        object_cls=cls,
        object_boxes=boxes,
    ).write(folder / "matches.npz")


def write_study(
    output_dir: Path,
    variants: Mapping[str, tuple[Mapping[str, Any], float]],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    spread: float = 0.01,
    matches: bool = False,
    **changes: Any,
) -> None:
    """A study whose runs have all finished.

    Args:
        output_dir: as of the program.
        variants: label to attention and mean mAP50-95.
        seeds: of every variant.
        spread: standard deviation over seeds.
        matches: whether each run keeps what it matched, and images to show it on.
        changes: of every configuration, as in `config_of`.
    """
    generator = np.random.default_rng(0)
    for index, (attention, mean) in enumerate(variants.values()):
        for seed in seeds:
            value = mean + spread * generator.standard_normal()
            folder = write_run(output_dir, config_of(attention, seed, **changes), float(value), ratio=1 + 0.1 * index)
            if matches:
                write_matches(folder, seed, mean)


def declare(output_dir: Path, name: str, runs: Sequence[Mapping[str, Any]], question: str = "") -> None:
    """A study.json as `python -m src.sweep` writes it."""
    folder = output_dir / "studies" / name
    folder.mkdir(parents=True)
    content = {"name": name, "question": question, "command": f"python -m src.sweep {name}", "runs": list(runs)}
    (folder / "study.json").write_text(json.dumps(content))

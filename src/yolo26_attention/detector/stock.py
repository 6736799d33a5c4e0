"""The stock model and its starting checkpoint."""

import hashlib
import json
import os
import pickle
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel, guess_model_scale, guess_model_task, load_checkpoint
from ultralytics.utils import WEIGHTS_DIR, YAML
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

from yolo26_attention.compat.ultralytics import restricted_loading
from yolo26_attention.compat.ultralytics_log import without_repetition
from yolo26_attention.config.models import OTHER_TASKS
from yolo26_attention.detector.trust import Trust, known_classes_only


def build_stock(source: str, classes: int, channels: int) -> DetectionModel:
    """Build a stock model without advancing the global random generator.

    Args:
        source: official name, or absolute path of a user's YAML, of which no code runs (`activation` is a class of
            torch.nn).
        classes: number of classes.
        channels: channels of the input images.
    """
    file = source if source.endswith((".yaml", ".yml")) else f"{source}.yaml"
    loading = restricted_loading([]) if os.path.isabs(file) else nullcontext()
    with torch.random.fork_rng(devices=[]), loading, without_repetition():
        return DetectionModel(file, ch=channels, nc=classes, verbose=False)


def network_digest(path: Path) -> str:
    """Fingerprint of a user's network: of its YAML's content, and of the scale that Ultralytics reads from its name.

    Raises:
        ValueError: if there is no such file, or if it is not a detection network in Ultralytics' form.
    """
    key, form = f"model.yaml={path}", "write it as Ultralytics' yolo26.yaml"
    if not path.is_file():
        raise ValueError(f"{key}: no such file; give the path of a YAML, or model=NAME for a known network")
    try:
        settings = YAML.load(path)
        missing = [name for name in ("backbone", "head") if not isinstance(settings.get(name), list)]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"{key} cannot be read ({type(error).__name__}); {form}") from error
    if missing:
        raise ValueError(f"{key} has no list {missing[0]}; {form}")
    task = guess_model_task(settings)
    if task != "detect":
        raise ValueError(f"{key} is a network for {task}; {OTHER_TASKS.format(path)}")
    scale = guess_model_scale(path) if "scales" in settings else ""
    text = json.dumps([{**settings, "nc": None}, scale], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def find_weights(name: str) -> Path:
    """Find a checkpoint by path, or by an official name such as `yolo26n.pt`, which is downloaded if missing.

    Returns an absolute path.

    Raises:
        ValueError: if the file does not exist or the download fails.
    """
    path = Path(name)
    if not path.exists() and path.name == name and name in GITHUB_ASSETS_NAMES:
        path = Path(WEIGHTS_DIR).absolute() / name
        try:
            attempt_download_asset(path)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"model.weights={name} is neither here nor in {path.parent} and cannot be downloaded "
                f"({type(error).__name__}); put the file there, or give its path"
            ) from error
    if not path.is_file():
        raise ValueError(
            f"model.weights={name}: no such file; give the path of a checkpoint, an official name such as "
            "yolo26n.pt, or null for a random start"
        )
    return path.absolute()


def check_weights(path: Path, model: nn.Module, trust: Trust) -> nn.Module:
    """Check that a file is an Ultralytics checkpoint that fits at least one convolution of the model.

    Returns:
        The network in it.

    Raises:
        ValueError: if it is not a checkpoint, fits no convolution, or holds a class that is not trusted.
    """
    try:
        with known_classes_only("model.weights", path, trust):
            source: nn.Module = load_checkpoint(path)[0]
    except (
        pickle.UnpicklingError,
        TypeError,
        RuntimeError,
        EOFError,
        AttributeError,
        KeyError,
        ImportError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else "no details"
        raise ValueError(
            f"model.weights={path} is not an Ultralytics checkpoint ({type(error).__name__}: {reason}); "
            "give a .pt file that Ultralytics or this program wrote"
        ) from error
    shapes = {key: tensor.shape for key, tensor in source.state_dict().items()}
    fits = (shapes.get(key) == tensor.shape for key, tensor in model.state_dict().items() if tensor.ndim == 4)
    if not any(fits):
        raise ValueError(
            f"model.weights={path} fits no layer of this model; choose its original model, or other weights"
        )
    return source


def loaded_tensors(model: nn.Module, weights: nn.Module) -> list[str]:
    """Names of the tensors of `model` that are equal to those of the same name in `weights`."""
    source = weights.state_dict()
    return [
        name
        for name, tensor in model.state_dict().items()
        if name in source and source[name].shape == tensor.shape and torch.equal(source[name].to(tensor), tensor)
    ]

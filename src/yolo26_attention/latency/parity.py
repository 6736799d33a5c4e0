"""Check that a deployed network computes the same as in PyTorch."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from unittest import mock

import torch
from torch import Tensor
from ultralytics.engine import validator
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel

from yolo26_attention.compat.ultralytics import without_nms_time_limit
from yolo26_attention.data.label_cache import restrict_label_caches
from yolo26_attention.detector.not_finite import sites_not_finite
from yolo26_attention.files.latency import Parity
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS
from yolo26_attention.latency.backends import Deployed, cpu_threads
from yolo26_attention.latency.networks import predictions
from yolo26_attention.latency.precision import DTYPES, without_tf32

# For scores, and for boxes as a fraction of the image's side; reordered float32 arithmetic stays far below.
LARGEST_DIFFERENCE = 0.001
# On a GPU both are asked to compute without TF32. Whether TensorRT complies has not been seen yet, and TF32's rounding
# depends on how the network is folded (largest difference seen in emulation: 2.5e-3).
LARGEST_ON_GPU = 0.01
# Half precision reorders detections of nearly the same score.
MAP_DIFFERENCE = {"fp32": 0.001, "fp16": 0.005, "bf16": 0.01}


class ParityError(RuntimeError):
    """A deployed network does not match its source network."""


@without_tf32()
def check_parity(
    deployed: Deployed,
    model: BaseModel,
    backend: str,
    precision: str,
    images: Sequence[Tensor],
    validate: Callable[[AutoBackend], float] | None,
) -> Parity | None:
    """Compare a deployed network with the network in PyTorch, eager and in float32.

    Args:
        deployed: the network under test.
        model: its source network.
        backend: name of its backend or format.
        precision: precision of its computation.
        images: prepared images, (B, C, H, W) each.
        validate: returns mAP50-95 of a network on the validation images; None for an untrained network. It is called
            for both networks, because the training's own mAP may be that of another image size or precision.

    Returns:
        How they differ, for a trained network that is exported or below float32 with both mAPs; None instead of
        comparing a network with itself.

    Raises:
        ParityError: if either outputs non-finite values, or if their predictions differ in shape; in float32, if they
            differ by more than 0.001 (0.01 on a GPU); if the mAPs of an exported network differ by
            more than `MAP_DIFFERENCE`, unless its weights have 8 bits.
    """
    if (backend, precision) == ("eager", "fp32"):
        for x in images:
            _check_finite(predictions(deployed.network(x)), "the network in PyTorch")
        return None
    device = images[0].device
    with torch.inference_mode(False):
        reference = AutoBackend(copy.deepcopy(model).to(device), device=device, verbose=False, end2end=False)
    largest = 0.0
    for x in images:
        in_pytorch, answer = predictions(reference(x.float())), predictions(deployed.network(x))
        _check_shape(in_pytorch, answer, backend)
        _check_finite(in_pytorch, "the network in PyTorch")
        _check_finite(answer, "the deployed network", partial(_overflowing, model, x, precision))
        largest = max(largest, _difference(in_pytorch, answer, x.shape[-1]))
    exported = deployed.file is not None
    limit = largest_allowed(device)
    if precision == "fp32" and not largest <= limit:
        raise ParityError(
            f"{backend}: the deployed network differs from PyTorch by {largest:.2g} on validation images, more than "
            f"{limit}; it is invalid and was not timed"
        )
    if validate is not None and (exported or (backend == "eager" and precision != "fp32")):
        expected = validate(reference)
        found = validate(deployed.network)
        if exported and precision != "int8" and not abs(found - expected) <= MAP_DIFFERENCE[precision]:
            raise ParityError(
                f"{backend}: mAP50-95 of the exported network is {found:.4f}, in PyTorch {expected:.4f}, "
                f"more than {MAP_DIFFERENCE[precision]} apart; it is invalid and was not timed"
            )
        return Parity(largest, found, expected)
    return Parity(largest)


def largest_allowed(device: torch.device) -> float:
    """The largest difference of float32 predictions that is no error."""
    return LARGEST_DIFFERENCE if device.type == "cpu" else LARGEST_ON_GPU


def validate_deployed(
    network: AutoBackend,
    data: str,
    imgsz: int,
    batch: int,
    folder: str,
    single_cls: bool = False,
) -> float:
    """Compute mAP50-95 of a deployed network on a data set's validation images with Ultralytics' validator.

    Given a file, the validator would load it with the runtime's own threads and precision; here it gets the network
    that is timed.

    Args:
        network: the deployed network.
        data: path of the data set's YAML file.
        imgsz: side of the square into which images are fitted, in pixels.
        batch: images of a batch, if the network takes any number.
        folder: for the validator's files.
        single_cls: whether all classes are one.
    """
    device = network.device
    restrict_label_caches()
    arguments = {"data": data, "imgsz": imgsz, "batch": batch, "device": str(device), "plots": False, "task": "detect"}
    arguments["single_cls"] = single_cls
    checked = DetectionValidator(args={**arguments, "verbose": False, "save_dir": folder})
    in_its_place = mock.patch.object(validator, "AutoBackend", return_value=network)
    with in_its_place, cpu_threads(None), without_nms_time_limit():
        results = checked()
    return float(results[ULTRALYTICS[MAP50_95]])


def _check_shape(expected: Tensor, found: Tensor, backend: str) -> None:
    if expected.shape != found.shape:
        raise ParityError(
            f"{backend}: the deployed network outputs predictions of {tuple(found.shape)}, PyTorch of "
            f"{tuple(expected.shape)}; it is invalid and was not timed"
        )


def _difference(expected: Tensor, found: Tensor, side: int) -> float:
    """Largest difference of predictions (B, 4 + classes, anchors), boxes as a fraction of the image's side."""
    scale = torch.ones(expected.shape[1], device=expected.device)
    scale[:4] = 1 / side
    difference = (expected.float() - found.to(expected.device).float()).abs()
    return float((difference * scale[:, None]).max())


def _check_finite(answer: Tensor, who: str, sites: Callable[[], list[str]] = list) -> None:
    """Refuse NaN and infinity, which comparisons would miss, and empty predictions; name the `sites` that made them."""
    wrong = answer.numel() - int(torch.isfinite(answer).sum())
    if wrong or not answer.numel():
        blamed = f", made by the attention at {', '.join(found)}" if (found := sites()) else ""
        raise ParityError(
            f"{who} outputs {wrong} of {answer.numel()} values as NaN or infinite on a validation image{blamed}; it is "
            "invalid and was not timed"
        )


def _overflowing(model: BaseModel, image: Tensor, precision: str) -> list[str]:
    """Sites that make non-finite values in that precision in PyTorch; 8-bit weights are none of PyTorch's."""
    dtype = DTYPES.get(precision, torch.float32)
    with torch.inference_mode(False):
        network = copy.deepcopy(model).to(image.device, dtype)
    return sites_not_finite(network, image.to(dtype))

"""The precision of a measurement, the same for both networks and for all of their operations."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from yolo26_attention.config.schema import Precision

OVERRIDE = "NVIDIA_TF32_OVERRIDE"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def measured_precision(asked: Precision | None, gpu: bool) -> Precision:
    """The precision of `latency.precision`; if it names none, fp16 on a GPU and fp32 on a CPU, as is deployed."""
    return asked or (Precision.fp16 if gpu else Precision.fp32)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute float32 as float32 on a GPU.

    By default PyTorch rounds the inputs of convolutions to TF32, and not those of matrix products: a stock network,
    which has only convolutions, would be timed in another arithmetic than the attention beside it, and two networks
    that are folded differently would differ by more than an export may.

    TensorRT reads NVIDIA_TF32_OVERRIDE when it builds an engine; ONNX Runtime has an option of its own
    (`compat.onnxruntime`).
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    variable = os.environ.get(OVERRIDE)
    os.environ[OVERRIDE] = "0"
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
        if variable is None:
            del os.environ[OVERRIDE]
        else:
            os.environ[OVERRIDE] = variable

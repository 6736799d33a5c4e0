"""Sessions of ONNX Runtime that Ultralytics opens. `tests/compat/` has a test of the patch.

Ultralytics 8.4 passes providers without an option for TF32, which ONNX Runtime's CUDA provider uses by default.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import onnxruntime

CUDA = "CUDAExecutionProvider"


@contextmanager
def sessions_without_tf32() -> Iterator[None]:
    """Within the block, sessions on a GPU compute float32 as float32 (the provider's option `use_tf32`)."""
    original = onnxruntime.InferenceSession

    def session(*args: Any, providers: Any = None, **kwargs: Any) -> Any:
        return original(*args, providers=providers and [_without_tf32(each) for each in providers], **kwargs)

    with mock.patch.object(onnxruntime, "InferenceSession", session):
        yield


def _without_tf32(provider: Any) -> Any:
    name, options = provider if isinstance(provider, tuple) else (provider, {})
    return (name, {**options, "use_tf32": "0"}) if name == CUDA else provider

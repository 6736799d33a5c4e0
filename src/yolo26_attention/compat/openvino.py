"""Networks of OpenVINO that Ultralytics compiles. `tests/compat/` has a test of the patch.

Ultralytics 8.4 leaves the precision to OpenVINO, which computes in bfloat16 on CPUs that support it, and in float16 on
Intel GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import openvino

HINT = "INFERENCE_PRECISION_HINT"


@contextmanager
def networks_in_float32() -> Iterator[None]:
    """Within the block, networks are compiled to compute in float32 (the devices' INFERENCE_PRECISION_HINT)."""
    original = openvino.Core

    def core(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        for device in made.available_devices:
            if HINT in made.get_property(device, "SUPPORTED_PROPERTIES"):
                made.set_property(device, {HINT: "f32"})
        return made

    with mock.patch.object(openvino, "Core", core):
        yield

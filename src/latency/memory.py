"""What one forward pass has in memory, and where it lies there."""

import copy
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from ultralytics.nn.autobackend import AutoBackend

from src.latency.networks import CapturedGraphs


def peak_memory(network: AutoBackend, x: Tensor, device: torch.device) -> int:
    """Bytes that PyTorch's allocator has handed out at most during a forward pass, the weights included.

    What a library allocates by itself, such as workspaces of oneDNN and cuDNN's own, is not seen.

    Args:
        network: one that computes with PyTorch.
        x: (B, C, H, W).
        device: it is on.
    """
    model = network.backend.model
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    if isinstance(model, CapturedGraphs):
        model.graphs.clear()  # it allocates when it records
    else:
        network(x)
    return weights + (_peak_cuda(network, x, device) if device.type == "cuda" else _peak_cpu(network, x))


def _peak_cuda(network: AutoBackend, x: Tensor, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    network(x)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_cpu(network: AutoBackend, x: Tensor) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        network(x)
    changes = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        highest = max(highest, held)
    return highest


def relocate(networks: Sequence[AutoBackend], draw: random.Random) -> None:
    """Put copies of the networks, at other addresses, in their place; which is copied first is drawn.

    Two equal networks differ by half a percent for as long as a process lives, only because of what was built first and
    where it lies. Moved now and then, that becomes noise, which the interval knows of. Curtsinger and Berger,
    Stabilizer, ASPLOS 2013.

    Args:
        networks: that compute with PyTorch, eagerly.
        draw: of the order.
    """
    with torch.inference_mode(False):
        for network in draw.sample(list(networks), len(networks)):
            network.backend.model = copy.deepcopy(network.backend.model)

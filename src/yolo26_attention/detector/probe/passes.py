"""Check the forward and backward passes of a module, alone and in batches, on maps of every kind."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.isolation import Surroundings, surroundings
from yolo26_attention.detector.probe.candidate import ODD, RECTANGULAR, SQUARE, Candidate, close


def check_evaluation(candidate: Candidate) -> None:
    """Run it in evaluation mode.

    Raises:
        UnfitError: if it fails, draws random numbers, or if its output depends on more than the image.
    """
    module = copy.deepcopy(candidate.module).eval()
    with torch.no_grad():
        outputs = []
        for sides in (SQUARE, ODD, RECTANGULAR):
            x = candidate.map(sides, 2)
            state = torch.get_rng_state()
            outputs.append((x, candidate.run(module, x)))
            if not torch.equal(state, torch.get_rng_state()):
                raise candidate.unfit(
                    "draws random numbers in evaluation mode",
                    "its score would vary; draw only in training, as nn.Dropout or F.dropout(x, p, self.training) do",
                )
        for x, y in outputs:
            if not close(y, candidate.run(module, x)):
                raise candidate.unfit(
                    "gives another output for the same input after other inputs",
                    "in evaluation its output must not depend on earlier inputs",
                )
            if not close(y[:1], candidate.run(module, x[:1])):
                raise candidate.unfit(
                    "gives another output for an image alone in its batch, in evaluation mode",
                    "its scores would depend on the batch; compute over each image separately, or use running "
                    "statistics as nn.BatchNorm2d does",
                )


def check_training(candidate: Candidate) -> nn.Module:
    """Train a copy for some steps and return it.

    Raises:
        UnfitError: if it fails, creates parameters, replaces tensors, or if gradients are missing or not finite.
    """
    module = copy.deepcopy(candidate.module).train()
    names = [name for name, _ in module.named_parameters()]
    held: dict[str, Any] = {}  # what Ultralytics averages, as it looks the tensors up in its first step only
    learned = False
    for sides in (SQUARE, ODD, RECTANGULAR):
        learned |= _step(candidate, module, sides, 2)
        held = held or module.state_dict()
    learnable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    if learnable and not learned:
        raise candidate.unfit(
            f"gives none of its parameters a gradient ({', '.join(learnable[:3])})",
            "it would never learn: use them in forward, and remove .detach(), .data and torch.no_grad(); if nothing is "
            "meant to learn, use buffers (register_buffer)",
        )
    for name, tensor in module.state_dict().items():
        if name in held and held[name].data_ptr() != tensor.data_ptr() and not torch.equal(held[name], tensor):
            raise candidate.unfit(
                f"replaces {name} in training by another tensor",
                "the averaged weights that are validated and saved would keep the first one; change it in place, as "
                f"in self.{name.rpartition('.')[2]}.copy_(...)",
            )
    if added := [name for name, _ in module.named_parameters() if name not in names]:
        raise candidate.unfit(
            f"creates parameters in training mode ({', '.join(added)})",
            "the optimizer never sees them; create them in __init__",
        )
    return module


def check_surroundings(candidate: Candidate, before: Surroundings) -> None:
    """Compare the surroundings of a module with those before it ran.

    Raises:
        UnfitError: if it advanced a generator of the augmentation, or changed process settings.
    """
    after = surroundings()
    for library in after.streams:
        if after.streams[library] != before.streams[library]:
            raise candidate.unfit(
                f"draws from {library} in its forward",
                "the augmentation uses the same generator, so this variant would see other images than the "
                "baseline; use torch's generator",
            )
    for name, value in after.settings.items():
        if value != before.settings[name]:
            raise candidate.unfit(
                f"changes a setting of the whole process ({name}: {before.settings[name]} to {value})",
                "the baseline is trained without it; remove it",
            )


def check_lone_image(candidate: Candidate, lone: str) -> None:
    """Run a copy in training mode on a batch of one image.

    Args:
        candidate: the module.
        lone: description of that batch.

    Raises:
        UnfitError: if it fails.
    """
    try:
        copy.deepcopy(candidate.module).train()(candidate.map(SQUARE, 1))
    except (Exception, SystemExit) as error:
        raise candidate.unfit(
            f"cannot train on a batch of one image, and {lone}: {last_line(error)}",
            "choose another trainer.batch, or give the batch norm more than one value per channel",
        ) from error


def check_on(candidate: Candidate, device: str, amp: bool) -> None:
    """Train and evaluate it on a device, with `amp` in half precision as Ultralytics does.

    Raises:
        UnfitError: if it fails.
    """
    module = copy.deepcopy(candidate.module).to(device)
    x = candidate.map(SQUARE, 2).to(device)
    candidate.run(module.eval(), x)
    how = f"in training on {device}{' with amp' if amp else ''}"
    with torch.autocast(torch.device(device).type, enabled=amp):
        y = candidate.attempt(module.train(), x.clone().requires_grad_() * 1, how)
    _backward(candidate, y.float().sum(), f" {how}")
    if amp:
        with torch.no_grad():
            candidate.run(module.eval().half(), x.half())


def _backward(candidate: Candidate, loss: Tensor, how: str) -> None:
    try:
        loss.backward()
    except (Exception, SystemExit) as error:
        raise candidate.unfit(
            f"has no backward pass{how}: {last_line(error)}",
            "check for in-place operations, and for tensors kept from the previous pass",
        ) from error


def _step(candidate: Candidate, module: nn.Module, sides: tuple[int, int], batch: int) -> bool:
    """Make one training step from a non-leaf input, as within a network; returns whether a parameter had a gradient."""
    leaf = candidate.map(sides, batch).requires_grad_()
    x = leaf * 1
    y = candidate.run(module, x)
    if not y.requires_grad:
        raise candidate.unfit(
            "blocks the gradient: its output has none",
            "the layers before it would not learn; remove .detach(), .data and torch.no_grad() in training",
        )
    module.zero_grad()
    _backward(candidate, (y * torch.randn_like(y)).sum(), "")
    if leaf.grad is None:
        raise candidate.unfit(
            "gives an output that does not depend on its input",
            "the layers before it would not learn; remove .detach(), .data and torch.no_grad() in training",
        )
    gradients = {"its input": leaf.grad}
    own = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    gradients |= own
    for name, gradient in gradients.items():
        if not gradient.isfinite().all():
            raise candidate.unfit(
                f"gives {name} a non-finite gradient for a random map",
                "check roots and norms at zero, and divisions by differences",
            )
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad / parameter.grad.abs().max().clamp(min=1))
    return any(bool(gradient.any()) for gradient in own.values())

"""What a run says about itself before it trains; the trainer adds a line about its network."""

from pathlib import Path

from yolo26_attention.config.schema import TrainerConfig
from yolo26_attention.counts import number_of
from yolo26_attention.data.survey import Split
from yolo26_attention.plan.checks import Plan


def first_lines(plan: Plan, resumes: bool) -> str:
    """Describe run, data and recipe in a line each.

    Args:
        plan: plan of the run.
        resumes: whether it continues an interrupted training.
    """
    held_out = plan.dataset.held_out
    splits = [f"{name} {_counted(split)}" for name, split in plan.dataset.splits.items()]
    splits.append(f"test {_counted(held_out.split)}" if held_out.split else "no test images")
    weights, optimizer = plan.arguments["pretrained"], plan.config.optimizer
    classes = number_of(len(plan.dataset.names), "class", "classes")
    start = Path(weights).name if weights else "random values"
    rate = getattr(optimizer, "lr0", None)
    recipe = [
        *_length(plan.config.trainer),
        optimizer.name if rate is None else f"{optimizer.name} with lr0 {rate:g}",
        f"from {start}",
        f"seed {plan.config.seed}",
        f"device {plan.config.trainer.device or plan.device}",
    ]
    return "\n".join(
        [
            f"run      {plan.folder} {'is resumed' if resumes else 'starts'}",
            f"data     {plan.config.data.name}, {classes}: {'; '.join(splits)}",
            f"recipe   {', '.join(recipe)}",
        ]
    )


def _counted(split: Split) -> str:
    """Images and objects of a split."""
    empty = split.unlabelled + split.backgrounds
    without = f" ({empty} without objects)" if empty else ""
    return f"{number_of(split.images, 'image')}{without}, {number_of(split.objects, 'object')}"


def _length(trainer: TrainerConfig) -> list[str]:
    """How long the training is, and what a batch is."""
    length = number_of(trainer.epochs, "epoch")
    if trainer.steps is not None:
        length = number_of(trainer.steps, "optimizer step")
    if trainer.time is not None:
        length = f"{trainer.time:g} hours"
    sizes = f"{trainer.imgsz} px" + (f" ± {trainer.multi_scale:.0%}" if trainer.multi_scale else "")
    batch = f"batch {trainer.batch}" if trainer.batch >= 1 else f"batch for {_share(trainer.batch):.0%} of the memory"
    return [f"{length} at {sizes}", batch]


def _share(batch: float) -> float:
    """The share of the memory that Ultralytics fills for a batch below 1; -1 stands for its default."""
    return batch if batch > 0 else 0.6

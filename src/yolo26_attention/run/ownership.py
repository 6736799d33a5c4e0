"""Whether what lies in a run's folder is that run's: a copied folder or checkpoint must not pass for another run's."""

from pathlib import Path

from torch import nn

from yolo26_attention.compat.former_names import current_name
from yolo26_attention.detector.grafted import graft_of
from yolo26_attention.detector.mix import attention_groups
from yolo26_attention.evaluation.flops import count_parameters
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import Plan


def foreign_record(plan: Plan, record: Record) -> str | None:
    """Describe a record in the run's folder that is another run's, with the way out; None if it is this run's."""
    found, expected = (record.run_id, record.seed), (plan.run_id, plan.config.seed)
    if found == expected:
        return None
    return (
        f"{RunFolder(plan.folder).record} is the record of run {record.name} (identity {found[0]}, seed {found[1]}), "
        f"not of this one (identity {expected[0]}, seed {expected[1]}): the folder was copied or renamed; move "
        f"{plan.folder} away to train this run"
    )


def other_network(record: Record, best: Path, trained: nn.Module, deployed: nn.Module) -> str | None:
    """Describe a network that the run cannot have trained; None if its graft and its size are those of the record.

    This is how a best.pt of a run without a recorded digest is checked. The mode, the gate and the options of a graft
    show in the number of parameters.

    Args:
        record: record of the run.
        best: path of its best.pt, for the message.
        trained: the network of best.pt.
        deployed: a fused copy of it.
    """
    targets = [group.get("_target_") for group in attention_groups(record.config.get("attention", {}))]
    expected = sorted({current_name(target) for target in targets if target is not None})
    found = sorted({one.target for one in graft_of(trained)})
    if found != expected:
        has, trained_with = (", ".join(names) or "no attention" for names in (found, expected))
        return f"{best} has {has}, but this run trained {trained_with}"
    found_size, size = count_parameters(deployed), None if record.model is None else record.model.parameters
    if size is not None and found_size != size:
        return f"{best} has {found_size:,} parameters, but this run trained {size:,}"
    return None

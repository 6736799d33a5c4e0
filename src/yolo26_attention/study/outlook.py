"""What a study can find, before it is trained."""

from collections.abc import Sequence
from statistics import stdev

from yolo26_attention.files.metrics import COMPARED
from yolo26_attention.statistics import detectable_at_looks, smallest_detectable, worthwhile_baseline_seeds
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import look_levels
from yolo26_attention.study.next_runs import families
from yolo26_attention.study.progress import RunState, compared_scores


def outlook(states: Sequence[RunState], declared: Declaration) -> list[str]:
    """Describe the smallest difference found with a power of 80 %, and whether more seeds of the baseline pay off.

    Args:
        states: states of all runs of the study; the spread is that of the finished runs of each baseline.
        declared: declaration of the study.
    """
    lines, compared = [], compared_scores(states, declared.metric)
    for baseline, variants in families([state.entry for state in states]).items():
        own = [score for state, score in zip(states, compared, strict=True) if state.entry.variant == baseline]
        scores = [score for score in own if score is not None]
        seeds, base = len(declared.seeds), len(declared.baseline_seeds)
        lines.append(_detectable(baseline, scores, declared, len(variants)))
        worth = worthwhile_baseline_seeds(len(variants), seeds)
        if worth > base:
            lines.append(
                f"{worth} seeds of {baseline} instead of {base} serve all {len(variants)} variants: "
                f"seeds: {{baseline: {worth}, others: {seeds}}}"
            )
    return lines


def _detectable(baseline: str, scores: Sequence[float], declared: Declaration, variants: int) -> str:
    seeds, base = len(declared.seeds), len(declared.baseline_seeds)
    if min(seeds, base) < 2:
        return "one seed has no spread: no difference can be found; declare two seeds or more"
    if len(scores) < 2 or not (sd := stdev(scores)):
        return f"what can be found is not known: two finished runs of {baseline} say so; train some with pilot=3"
    looks = declared.looks
    if looks:
        at_look = [len(declared.seeds_at(look, True)) for look in looks]
        found = detectable_at_looks(sd, looks, at_look, look_levels(declared, variants), variants)
    else:
        found = smallest_detectable(sd, seeds, variants, base)
    looked = f" and looks at {', '.join(map(str, looks))}" if looks else ""
    of_baseline = "" if base == seeds else f" ({base} of {baseline})"
    return (
        f"with {seeds} seeds{of_baseline}{looked}, a difference of {found:.4f} in {COMPARED[declared.metric]} is found "
        f"with a probability of 80 %, if runs scatter as {len(scores)} of {baseline} do (standard deviation {sd:.4f})"
    )

"""The runs that a study trains next: reads its folder, applies the declared looks, and names the runs that are due."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.metrics import COMPARED, MAP50_95, ULTRALYTICS
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import Standing, needed_seeds, replay
from yolo26_attention.study.progress import RunState, compared_scores, run_states
from yolo26_attention.study.runs import StudyEntry, StudyFile

ENDED = {"finished", "failed", "unreadable"}


def standings(states: Sequence[RunState], declared: Declaration) -> dict[str, Standing]:
    """Return where the variants of each baseline stand, by the baseline's label; empty for a study without looks.

    Args:
        states: states of all runs of the study.
        declared: declaration in its study.json.
    """
    if not declared.looks:
        return {}
    scores: dict[str, dict[int, float]] = {state.entry.variant: {} for state in states}
    ended = set()
    for state, score in zip(states, compared_scores(states, declared.metric), strict=True):
        variant, seed = state.entry.variant, state.entry.seed
        if score is not None:
            scores[variant][seed] = score
        if state.state in ENDED:
            ended.add((variant, seed))
    found = {}
    for baseline, variants in families([state.entry for state in states]).items():
        family = {variant: scores[variant] for variant in [baseline, *variants]}
        found[baseline] = replay(family, lambda v, s: (v, s) in ended, baseline, declared, declared.margin_or_default)
    return found


def refuse_unmeasured(states: Sequence[RunState], declared: Declaration) -> None:
    """Refuse to go on with a study whose finished runs lack the metric that it declares.

    Raises:
        ConfigError: naming the metric, a run without it, and a way out.
    """
    for state, score in zip(states, compared_scores(states, declared.metric), strict=True):
        if state.state == "finished" and score is None and state.score is not None:
            raise ConfigError(
                f"metric={declared.metric}: {state.entry.variant}, seed {state.entry.seed} has finished and has no "
                f"{COMPARED[declared.metric]}, because no object of the images has that size, or its record is of an "
                f"earlier version; write another metric into the study file, such as metric: {MAP50_95}"
            )


def unproven(states: Sequence[RunState], declared: Declaration) -> bool:
    """Whether no run has shown yet that the data set has objects of the size that the metric is about."""
    return declared.metric not in ULTRALYTICS and not any(state.state == "finished" for state in states)


def families(entries: Sequence[StudyEntry]) -> dict[str, list[str]]:
    """Return each baseline with the variants that are compared with it, by label."""
    named = {entry.variant for entry in entries}
    found: dict[str, list[str]] = {}
    for entry in entries:
        variant, baseline = entry.variant, entry.baseline
        if variant != baseline and baseline in named and variant not in found.setdefault(baseline, []):
            found[baseline].append(variant)
    return found


def due(states: Sequence[RunState], declared: Declaration) -> list[RunState]:
    """Return the runs that are trained before the next look; all of them if the study does not stop when decided."""
    return _due(states, declared, standings(states, declared) if declared.stop else {})


def with_stopped(states: Sequence[RunState], declared: Declaration) -> list[RunState]:
    """Return the states; pending and interrupted runs that a decision made unnecessary are `stopped`."""
    found = standings(states, declared) if declared.stop else {}
    waiting = {id(state) for state in _due(states, declared, found)}
    needless = {label for each in found.values() for label, arm in each.arms.items() if arm.outcome != "open"}
    needless |= {label for label, each in found.items() if each.arms and needless >= each.arms.keys()}
    return [
        RunState(state.entry, "stopped")
        if state.state in {"pending", "interrupted"} and id(state) not in waiting and state.entry.variant in needless
        else state
        for state in states
    ]


def shown_states(output_dir: Path, content: StudyFile) -> list[RunState]:
    """Return the state of each run of a study; runs that its looks made unnecessary are stopped.

    Args:
        output_dir: folder of all output.
        content: content of study.json.
    """
    states = run_states(output_dir, content.runs)
    return states if content.declared is None else with_stopped(states, content.declared)


def _due(states: Sequence[RunState], declared: Declaration, found: Mapping[str, Standing]) -> list[RunState]:
    """The runs that each baseline's variants still need, and those without a baseline; all of them without looks."""
    arms = families([state.entry for state in states])
    wanted = {
        (label, seed)
        for baseline, standing in found.items()
        for label in (baseline, *arms[baseline])
        for seed in needed_seeds(standing, declared, label, label == baseline)
    }
    judged = {label for baseline in found for label in (baseline, *arms[baseline])}
    return [
        state
        for state in states
        if state.entry.variant not in judged or (state.entry.variant, state.entry.seed) in wanted
    ]

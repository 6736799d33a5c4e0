"""The runs that a study trains next: reads its folder, applies the declared looks, and names the runs that are due."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.metrics import COMPARED, MAP50_95, ULTRALYTICS
from yolo26_attention.plan.attention_names import placebos
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import Standing, needed_seeds, replay
from yolo26_attention.study.progress import RunState, compared_scores, run_states
from yolo26_attention.study.runs import StudyEntry, StudyFile

ENDED = {"finished", "failed", "unreadable"}


def standings(states: Sequence[RunState], declared: Declaration) -> dict[str, Standing]:
    """Return where the variants of each baseline and of each placebo stand, by its label; empty without looks.

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
    for reference, (variants, plan) in _questions(states, declared).items():
        family = {variant: scores[variant] for variant in [reference, *variants]}
        found[reference] = replay(family, lambda v, s: (v, s) in ended, reference, plan, declared.margin_or_default)
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


def placebo_families(states: Sequence[RunState]) -> dict[str, list[str]]:
    """Return each placebo with the variants that it stands for, by label, once all variants have a record."""
    configs = {state.entry.variant: state.record.config for state in states if state.record is not None}
    baselines = {state.entry.variant: state.entry.baseline for state in states}
    found: dict[str, list[str]] = {}
    for variant, placebo in placebos(configs, baselines).items():
        found.setdefault(placebo, []).append(variant)
    return found


def due(states: Sequence[RunState], declared: Declaration) -> list[RunState]:
    """Return the runs that are trained before the next look; all of them if the study does not stop when decided."""
    return _due(states, declared, standings(states, declared) if declared.stop else {})


def with_stopped(states: Sequence[RunState], declared: Declaration) -> list[RunState]:
    """Return the states; pending and interrupted runs that a decision made unnecessary are `stopped`."""
    found = standings(states, declared) if declared.stop else {}
    waiting = {id(state) for state in _due(states, declared, found)}
    questions = _questions(states, declared)
    unanswered = {
        label
        for reference, standing in found.items()
        for variant in questions[reference][0]
        if (arm := standing.arms.get(variant)) is None or arm.outcome == "open"
        for label in (reference, variant)
    }
    return [
        RunState(state.entry, "stopped")
        if state.state in {"pending", "interrupted"}
        and id(state) not in waiting
        and state.entry.variant not in unanswered
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


def _questions(states: Sequence[RunState], declared: Declaration) -> dict[str, tuple[list[str], Declaration]]:
    """What the study is to decide: each baseline and each placebo, the variants beside it, and the seeds of both."""
    found = {label: (variants, declared) for label, variants in families([state.entry for state in states]).items()}
    return found | {label: (variants, declared.against_placebo) for label, variants in placebo_families(states).items()}


def _due(states: Sequence[RunState], declared: Declaration, found: Mapping[str, Standing]) -> list[RunState]:
    """The runs that any question still needs, and those without a baseline; all of them without looks."""
    questions = {label: each for label, each in _questions(states, declared).items() if label in found}
    wanted = {
        (label, seed)
        for reference, (variants, plan) in questions.items()
        for label in (reference, *variants)
        for seed in needed_seeds(found[reference], plan, label, label == reference)
    }
    judged = {label for reference, (variants, _) in questions.items() for label in (reference, *variants)}
    return [
        state
        for state in states
        if state.entry.variant not in judged or (state.entry.variant, state.entry.seed) in wanted
    ]

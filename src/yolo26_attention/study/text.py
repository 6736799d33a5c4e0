"""A study as text: the line in the log of a run, the table of all runs, the summary at the end."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from yolo26_attention.counts import number_of
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.metrics import COMPARED, MAP50_95
from yolo26_attention.run.wandb_names import is_offline
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.next_runs import shown_states, standings
from yolo26_attention.study.progress import (
    RunState,
    best,
    compared_scores,
    compared_split,
    distinct,
    run_states,
    time_left,
)
from yolo26_attention.study.runs import STATES, StudyEntry, StudyFile, read_study
from yolo26_attention.text_tables import aligned


def announcement(output_dir: Path, study: str, run: str) -> str | None:
    """Describe the whole study in one line, for the log of one of its runs; None for a run without a study."""
    content = read_study(output_dir, study)
    if content is None:
        return None
    states = distinct(run_states(output_dir, content.runs))
    names = [state.entry.run for state in states]
    if run not in names:
        return None
    parts = [f"run {names.index(run) + 1} of {len(names)}, {_label(states[names.index(run)])}"]
    beside = sum(state.state == "running" and state.entry.run != run for state in states)
    return f"study {study}: " + "; ".join([*parts, *_outlook(states, content, beside + 1)])


def progress(output_dir: Path, study: str, at_once: int) -> str | None:
    """One line for the whole study when a run has ended; None for runs without a study.

    Args:
        output_dir: folder of all output.
        study: its name.
        at_once: how many runs are trained at a time.
    """
    content = read_study(output_dir, study)
    if content is None:
        return None
    states = distinct(shown_states(output_dir, content))
    return f"study {study}: " + "; ".join([counted(states), *_outlook(states, content, at_once)])


def status(output_dir: Path, name: str) -> str | None:
    """Format the status of a study, which may be running; None if it was never started."""
    content = read_study(output_dir, name)
    if content is None:
        return None
    states = shown_states(output_dir, content)
    outlook = _outlook(distinct(states), content, _running(states))
    lines = [*_standing(name, content, states), *(["; ".join(outlook)] if outlook else [])]
    return "\n".join([*lines, *_failures(output_dir, states)])


def summary(output_dir: Path, name: str, skipped: Sequence[str], command: Sequence[str]) -> str:
    """Format the summary of a study that has ended or was stopped.

    Args:
        output_dir: folder of all output.
        name: name of the study.
        skipped: runs that this process skipped, with the reason.
        command: command that continues the study.
    """
    content = read_study(output_dir, name) or StudyFile([])
    states = shown_states(output_dir, content)
    lines = ["", *_standing(name, content, states)]
    lines += [f"skipped: {line}" for line in skipped]
    lines += _failures(output_dir, states)
    if elsewhere := [_label(state) for state in distinct(states) if state.state == "running"]:
        lines.append(f"trained by another process: {'; '.join(elsewhere)}")
    left = [state for state in distinct(states) if state.state in {"pending", "interrupted"}]
    failed = [state for state in distinct(states) if state.state == "failed"]
    if left:
        lines.append(f"go on: {shlex.join(command)}")
    if failed:
        lines.append(f"try what failed again: {shlex.join([*command, 'retry=true'])}")
    folders = [state.record.tracking for state in states if state.record is not None]
    if any(folder is not None and is_offline(folder) for folder in folders):
        lines.append(f"upload to Weights & Biases: wandb sync {output_dir}/wandb/offline-run-*")
    return "\n".join(lines)


def _standing(name: str, content: StudyFile, states: Sequence[RunState]) -> list[str]:
    """The question, the table of all runs, and where the study stands at its looks."""
    head = [f"study {name}: {content.question}", counted(states)]
    looks = [] if content.declared is None else at_looks(states, content.declared)
    return [*head, "", *_results(states, content), "", *looks]


def at_looks(states: Sequence[RunState], declared: Declaration) -> list[str]:
    """Describe where a study stands at its looks, in one line per baseline and placebo."""
    found = standings(states, declared)
    several = len(found) > 1
    return [f"{f'against {reference}: ' if several else ''}{standing.text}" for reference, standing in found.items()]


def _metric(content: StudyFile) -> str:
    """By which the runs of a study are compared: one of `files.metrics.COMPARED`."""
    return MAP50_95 if content.declared is None else content.declared.metric


def _results(states: Sequence[RunState], content: StudyFile) -> list[str]:
    """The table of results by which the runs are compared, with the metric in its corner."""
    metric = _metric(content)
    scores = {state.entry.run: score for state, score in zip(states, compared_scores(states, metric), strict=True)}
    images = ", test images" if compared_split(states) == "test" else ""
    return matrix(states, lambda state: _result(state, scores[state.entry.run]), f"{COMPARED[metric]}{images}")


def matrix(states: Sequence[RunState], cell: Callable[[RunState], str], corner: str = "") -> list[str]:
    """Format a table with one row per variant and one column per seed; the corner says what its cells are."""
    seeds = list(dict.fromkeys(state.entry.seed for state in states))
    rows: dict[str, dict[int, str]] = {}
    for state in states:
        rows.setdefault(state.entry.variant, {})[state.entry.seed] = cell(state)
    table = [(corner, *(f"seed {seed}" for seed in seeds))]
    table += [(variant, *(cells.get(seed, "") for seed in seeds)) for variant, cells in rows.items()]
    return aligned(table)


def counted(states: Sequence[RunState]) -> str:
    """Count the runs in each state."""
    counts = Counter(state.state for state in distinct(states))
    total = sum(counts.values())
    return f"{number_of(total, 'run')}: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _outlook(states: Sequence[RunState], content: StudyFile, at_once: int) -> list[str]:
    left = time_left(states, at_once=at_once)
    parts = [] if left.seconds == 0 else [f"time left {left}"]
    metric = _metric(content)
    if (found := best(states, metric)) is not None:
        score, state = found
        parts.append(f"best so far {COMPARED[metric]} {score:.4f} ({_label(state)})")
    return parts


def _running(states: Sequence[RunState]) -> int:
    """How many runs are trained at this moment, and at least 1."""
    return max(sum(state.state == "running" for state in distinct(states)), 1)


def _label(state: RunState) -> str:
    return f"{state.entry.variant}, seed {state.entry.seed}"


def _result(state: RunState, score: float | None) -> str:
    if score is not None:
        return f"{score:.4f}"
    if state.state in {"running", "interrupted"}:
        return f"{state.state} {state.epoch}/{state.epochs or '?'}"
    return state.state


def _failures(output_dir: Path, states: Sequence[RunState]) -> list[str]:
    """List failed runs with the last line of the traceback and its file, and unreadable records with the reason."""
    lines = []
    for state in distinct(states):
        if state.problem is not None:
            lines.append(f"unreadable: {_label(state)}: {state.problem}")
        if state.state == "failed" and state.record is not None:
            lines.append(f"failed: {_label(state)}: {error_line(state.record.error or 'no traceback')}")
            lines.append(f"        see error in {OutputFolder(output_dir).run(state.entry.run).record}")
    return lines


def error_line(traceback: str) -> str:
    """Return the line of a traceback that names the error: the first one after the last frame."""
    lines = traceback.strip().splitlines() or ["no traceback"]
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return lines[min(frames[-1] + 1 if frames else len(lines) - 1, len(lines) - 1)]


def tags(entry: StudyEntry | None) -> list[str]:
    """Return the tags of a run in Weights & Biases: variant, swept values and seed."""
    if entry is None:
        return []
    swept = [f"{key}={value}" for key, value in entry.swept.items()]
    return [entry.variant, *swept, f"seed={entry.seed}"]

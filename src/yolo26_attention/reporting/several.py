"""Several studies in one table: where each variant helps, and whether any helps in all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo26_attention.reporting.caveats import notes_on_unlearned, notes_on_variant
from yolo26_attention.reporting.cells import Cell, difference_cell, verdict_of
from yolo26_attention.reporting.comparison import Compared, Results
from yolo26_attention.reporting.escapes import in_markdown
from yolo26_attention.reporting.left_out import left_out
from yolo26_attention.reporting.page import template
from yolo26_attention.reporting.placebos import beside_placebo
from yolo26_attention.reporting.references import graft_alone
from yolo26_attention.reporting.signs import interval, listed, signed
from yolo26_attention.text_tables import aligned, markdown_table

VERBS = {
    "better": "helps",
    "worse": "hurts",
    "equivalent": "makes no difference larger than the margin",
    "identical": "changes nothing",
    "undecided": "is undecided",
}
BESIDE_PLACEBO = {**VERBS, "better": "is better", "worse": "is worse"}
VERBS_OF_MANY = {
    "better": "help",
    "worse": "hurt",
    "equivalent": "make no difference larger than the margin",
}


@dataclass(frozen=True)
class Row:
    """A variant that several studies have.

    Attributes:
        label: of the variant.
        found: its comparison in each study, by the study's name; None where there is none.
    """

    label: str
    found: Mapping[str, Compared | None]

    def verdicts(self) -> list[str | None]:
        """One for each study; None where nothing can be said."""
        return [
            None if each is None or each.comparison.unlearned is not None else each.comparison.verdict
            for each in self.found.values()
        ]


@dataclass(frozen=True)
class Several:
    """The comparison of the variants that at least two of some studies have.

    Attributes:
        studies: results of each study, in the order asked for.
        rows: variants, in the order of the first study that has them.
        notes: what keeps the studies from being read as one.
    """

    studies: tuple[Results, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the studies."""
        return [each.study.name for each in self.studies]

    @property
    def answer(self) -> list[str]:
        """A sentence for each variant, one for each that has a placebo, and one on what all studies agree on.

        A variant helps in all studies if each of them says so. No correction is needed for that: the probability that
        all of several true nulls are rejected is at most that of one (Berger 1982, intersection-union tests).
        """
        if not self.rows:
            return ["No variant is in two of these studies, so nothing can be compared."]
        beside = filter(None, (_beside_placebo(self.studies, row) for row in self.rows))
        return [*map(_sentence, self.rows), *beside, self._agreement()]

    def _agreement(self) -> str:
        everywhere = "in both studies" if len(self.studies) == 2 else f"in all {len(self.studies)} studies"
        told = []
        for verdict in ("better", "worse", "equivalent"):
            agreed = [row.label for row in self.rows if set(row.verdicts()) == {verdict}]
            if agreed:
                told.append(f"{listed(agreed)} {(VERBS if len(agreed) == 1 else VERBS_OF_MANY)[verdict]} {everywhere}")
        if not any(set(row.verdicts()) == {"better"} for row in self.rows):
            told.insert(0, f"Nothing helps {everywhere}")
        return f"{'; '.join(told)}."


def join_studies(studies: Sequence[Results]) -> Several:
    """Put the variants that at least two studies have beside each other.

    They are matched by their label. Variants of other labels are matched if they have the same attention with the same
    options in the same places, and are the only ones of their studies that have; their row has the first one's label.
    """
    known: list[dict[str, Compared]] = []
    renamed = []
    for results in studies:
        own = {each.variant.label: each for each in results.compared}
        names = {label: _alike(label, own, known) or label for label in own}
        known.append({names[label]: each for label, each in own.items()})
        renamed += [
            f"{name} is called {label} in {results.study.name}" for label, name in names.items() if name != label
        ]
    labels = dict.fromkeys(label for each in known for label in each)
    shared = [label for label in labels if sum(label in each for each in known) > 1]
    rows = tuple(
        Row(label, {r.study.name: each.get(label) for r, each in zip(studies, known, strict=True)}) for label in shared
    )
    return Several(tuple(studies), rows, (*_notes(studies, known, labels, rows), *renamed))


def _alike(label: str, own: Mapping[str, Compared], known: Sequence[Mapping[str, Compared]]) -> str | None:
    """The label under which earlier studies have the graft of a variant; None if no other label matches it."""
    if any(label in each for each in known):
        return None
    graft = _graft(own[label])
    if graft is None or sum(_graft(each) == graft for each in own.values()) > 1:
        return None
    found = {name for each in known for name, other in each.items() if name not in own and _graft(other) == graft}
    return found.pop() if len(found) == 1 else None


def _graft(each: Compared) -> dict[str, Any] | None:
    return graft_alone(each.variant, each.reference)


def _notes(
    studies: Sequence[Results],
    known: Sequence[Mapping[str, Compared]],
    labels: Mapping[str, None],
    rows: Sequence[Row],
) -> list[str]:
    notes = []
    for results in studies:
        declared = "" if results.study.plan is None else f", plan {results.study.plan_hash}"
        notes.append(
            f"{results.study.name}: {results.study.score_name} on the {results.study.images}, margin "
            f"{results.margin:g}{declared}"
        )
    for row in rows:
        names = {each.variant.attention for each in row.found.values() if each is not None}
        if len(names) > 1:
            notes.append(f"{row.label} is not the same attention in all studies: {', '.join(sorted(names))}")
    for results, each in zip(studies, known, strict=True):
        notes += [f"{results.study.name}: {note}" for note in _of_one(results, [each.get(row.label) for row in rows])]
    if alone := [label for label in labels if sum(label in each for each in known) == 1]:
        notes.append(f"in one study only: {', '.join(alone)}")
    return notes


def _of_one(results: Results, shown: Sequence[Compared | None]) -> Iterator[str]:
    """The notes of a study on what is shown of it: the variants, their baselines, and runs that are left out."""
    study = results.study
    found = [variant for each in shown if each is not None for variant in (each.reference, each.variant)]
    variants = list({variant.label: variant for variant in found}.values())
    yield from notes_on_unlearned(variants, results.floor, study.score_name)
    for variant in variants:
        yield from notes_on_variant(variant, results.floor, study.score_name)
    labels = {variant.label for variant in variants}
    for line in left_out([run for run in study.runs if run.variant in labels]):
        yield f"not in the comparison ({line.status}): {line.what}: {line.problem}"


def _sentence(row: Row) -> str:
    told = []
    for name, each in row.found.items():
        if each is None:
            continue
        if each.comparison.unlearned is not None:
            told.append(f"has no verdict on {name}, where a network learned nothing")
            continue
        told.append(_found(each, name, VERBS))
    return f"{row.label} {listed(told)}."


def _beside_placebo(studies: Sequence[Results], row: Row) -> str:
    """The sentence on a variant beside its placebos; "" if no study has a verdict on that."""
    told, silent = [], []
    for results, each in zip(studies, row.found.values(), strict=True):
        if each is None:
            continue
        if (beside := beside_placebo(results, each.variant)) is not None:
            told.append(_found(beside, results.study.name, BESIDE_PLACEBO))
        else:
            silent.append(results.study.name)
    missing = [f"has no such comparison on {listed(silent)}"] if silent else []
    return f"Beside its placebo, {row.label} {listed([*told, *missing])}." if told else ""


def _found(each: Compared, study: str, verbs: Mapping[str, str]) -> str:
    """What a study says of a variant, with the difference and its interval."""
    bounds = each.comparison.difference.bounds
    sure = signed(each.mean) + ("" if bounds is None else f", {interval(bounds)}")
    return f"{verbs[each.comparison.verdict]} on {study} ({sure})"


def _cells(several: Several) -> list[list[Cell]]:
    rows = []
    for row in several.rows:
        cells = [Cell(row.label)]
        for each in row.found.values():
            if each is None:
                cells += [Cell(""), Cell("not in this study")]
                continue
            silent = each.comparison.unlearned is not None
            cells += [
                Cell("") if silent else difference_cell(each.comparison.difference),
                Cell(verdict_of(each.variant)),
            ]
        rows.append(cells)
    return rows


def _header(several: Several) -> list[str]:
    return ["variant", *(title for name in several.names for title in (name, "verdict"))]


def _numbers(several: Several) -> range:
    """The columns of differences."""
    return range(1, 2 * len(several.studies), 2)


def terminal(several: Several) -> str:
    """The answer and the table, as plain text."""
    table = [_header(several), *([cell.text for cell in row] for row in _cells(several))]
    return "\n".join(
        [
            *several.answer,
            "",
            *(aligned(table, right=_numbers(several)) if several.rows else []),
            "",
            *(f"note: {note}" for note in several.notes),
        ]
    )


def markdown(several: Several) -> str:
    """The answer and the table as Markdown."""
    lines = [f"# {' and '.join(map(in_markdown, several.names))}", "", *map(in_markdown, several.answer), ""]
    if several.rows:
        rows = [_header(several), *([cell.text for cell in row] for row in _cells(several))]
        lines += markdown_table([[in_markdown(text) for text in row] for row in rows], right=_numbers(several))
    return "\n".join([*lines, "", *(f"- {in_markdown(note)}" for note in several.notes), ""])


def page(several: Several, command: str, written: str, folders: Mapping[str, Path]) -> str:
    """The answer and the table as one HTML file.

    Args:
        several: what it shows.
        command: that makes this page again.
        written: when it was made, as it is to be shown.
        folders: relative path of each study's own page, by name.
    """
    return template("several.html").render(
        several=several,
        header=_header(several),
        rows=_cells(several),
        command=command,
        written=written,
        folders=folders,
    )

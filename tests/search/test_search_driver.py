"""A whole search whose trainings are made up: what starts, what continues, and that a killed one ends alike."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.fabricate import ENVIRONMENT, config_of
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import Kind, append_entry, epochs, read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.search.answer import answer
from yolo26_attention.search.confirmation import Confirmed, confirmation, write_confirmation
from yolo26_attention.search.definition import Budget, Confirmation, SearchFile
from yolo26_attention.search.driver import Means, Search
from yolo26_attention.search.state import read_state
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import Arm, Standing, replay

EPOCHS = 8
WORTH = {"acmix": 0.05, "se": 0.02, "none": 0.0}
SPACE = {site: ["none", "acmix", "se"] for site in ("p3", "p4", "p5")}
FILE = SearchFile("Where?", SPACE, Budget(1.35, 8, at_once=2), Confirmation(top=2, looks=(3, 5)))

DECLARED = Declaration((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), looks=(3, 5), stop=True)


class Killed(BaseException):
    """As SIGKILL: nothing is caught."""


class Program:
    """Trains by writing what a training leaves; `lives` is how many epochs it trains before it is killed."""

    def __init__(self, output_dir, lives=10**9, broken=()):
        self.output_dir, self.lives, self.broken = output_dir, lives, broken
        self.trained, self.measured = [], []

    def plan(self, points):
        trainer = SimpleNamespace(epochs=EPOCHS, steps=None, time=None)
        return [
            SimpleNamespace(run=point.variant.replace(" ", "+"), refusal=None, config=SimpleNamespace(trainer=trainer))
            for point in points
        ]

    def measure(self, overrides):
        self.measured.append(overrides[1] if len(overrides) > 2 else overrides[0])
        count = sum(each.count("acmix") * 2 + each.count("se}") + each.count("se,") for each in overrides)
        return 1.0 + 0.1 * count, "a machine"

    def train(self, commands):
        for command in commands:
            self.trained.append(command)
            self._train(command)

    def _train(self, command):
        given = dict(each.split("=", 1) for each in command)
        grafts = given.get("attention.grafts", "{}").strip("{}")
        chosen = dict(each.split(":") for each in grafts.split(",") if each)
        name = "+".join(f"{site}={value}" for site, value in chosen.items()) or "baseline"
        folder = OutputFolder(self.output_dir).run(name).path
        folder.mkdir(parents=True, exist_ok=True)
        record = Record.read(folder) or Record(
            "0", name, "s", 0, config_of({"name": "mix"}, 0), environment=ENVIRONMENT
        )
        record.write(folder)
        done = max((each.epoch for each in epochs(read_journal(RunFolder(folder).journal))), default=0)
        last = EPOCHS if given["pause"] == "null" else int(given["pause"])
        end = sum(WORTH[value] for value in chosen.values()) + 0.3 + np.random.default_rng(len(name)).normal() * 0.01
        for epoch in range(done + 1, last + 1):
            if self.lives == 0:
                raise Killed
            self.lives -= 1
            values = {"metrics/mAP50-95(B)": end * epoch / EPOCHS}
            append_entry(RunFolder(folder).journal, Kind.EPOCH, epoch=epoch, values=values, scalars={})
        record.status = "interrupted" if last < EPOCHS else "finished"
        if name in self.broken:
            record.status, record.error = "failed", "ValueError: broken"
        elif last == EPOCHS:
            record.metrics = {"map50_95": end}
        record.write(folder)


def searched(output_dir, program, file=FILE):
    folder = OutputFolder(output_dir).searches / "mine"
    search = Search(
        file, folder, output_dir, read_state(folder, file, []), Means(program.plan, program.measure, program.train)
    )
    search.measure_costs()
    search.start()
    search.halve()
    return search


def outcome(search):
    """What a search ends with, but for the time it took."""
    content = json.loads((search.folder / "search.json").read_text())
    del content["seconds"]
    return content, {search.space.label(one): score for one, score in search.finals().items()}


def test_halves_continue_and_the_first_candidate_is_the_reference(tmp_path):
    program = Program(tmp_path)
    search = searched(tmp_path, program)
    pauses = [dict(each.split("=", 1) for each in command)["pause"] for command in program.trained]
    assert pauses == ["2"] * 8 + ["4"] * 4 + ["null"] * 2
    assert search.space.label(next(iter(search.runs))) == "baseline"
    assert all(search.costs[one] <= 1.35 for one in search.runs)
    assert all("latency=disabled" in command for command in program.trained)


def test_what_is_too_slow_is_never_trained(tmp_path):
    program = Program(tmp_path)
    searched(tmp_path, program)
    assert not any(command[1].count("acmix") > 1 for command in program.trained)


def test_no_candidate_within_the_budget_is_an_error(tmp_path):
    file = SearchFile("Where?", SPACE, Budget(0.5, 8))
    with pytest.raises(ConfigError, match=r"budget\.latency_ratio=0\.5: no candidate is that fast; the fastest takes"):
        searched(tmp_path, Program(tmp_path), file)


def test_a_reference_that_cannot_be_run_is_an_error(tmp_path):
    program = Program(tmp_path)
    program.plan = lambda points: [SimpleNamespace(run=None, refusal="no data", config=None) for _ in points]
    with pytest.raises(ConfigError, match=r"the reference of the search cannot be run: no data"):
        searched(tmp_path, program)


@pytest.mark.parametrize("lives", [0, 1, 5, 9, 16, 17, 25, 31])
def test_a_killed_search_ends_as_an_undisturbed_one(lives, tmp_path):
    expected = outcome(searched(tmp_path / "whole", Program(tmp_path / "whole")))
    with pytest.raises(Killed):
        searched(tmp_path / "killed", Program(tmp_path / "killed", lives))
    assert outcome(searched(tmp_path / "killed", Program(tmp_path / "killed"))) == expected


def test_the_time_of_a_killed_process_counts_to_its_last_entry(tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    journals = [read_journal(RunFolder(search.found(one).folder).journal) for one in search.runs]
    latest = max(entry.time for journal in journals for entry in journal)
    search.state.seconds, search.state.training_since = 1000.0, latest - 50
    search.state.write(search.folder)
    state = searched(tmp_path, Program(tmp_path)).state
    assert state.seconds == pytest.approx(1050)
    assert state.training_since is None


def test_a_candidate_that_fails_is_left_out_and_named(tmp_path):
    search = searched(tmp_path, Program(tmp_path, broken=("baseline",)))
    assert search.failures() == {"baseline": "ValueError: broken"}
    assert "failed: baseline: ValueError: broken" in answer(search, None, "mine-confirm")
    assert len(search.finals()) == 2


def test_more_runs_continue_a_search(tmp_path):
    searched(tmp_path, Program(tmp_path))
    program = Program(tmp_path)
    more = SearchFile("Where?", SPACE, Budget(1.35, 12, at_once=2), Confirmation(top=2, looks=(3, 5)))
    search = searched(tmp_path, program, more)
    assert len(search.runs) == 12
    assert sum("pause=2" in command for command in program.trained) == 4


def test_hours_end_the_start_of_candidates(tmp_path):
    file = SearchFile("Where?", SPACE, Budget(1.35, 8, hours=1e-9, at_once=2))
    search = searched(tmp_path, Program(tmp_path), file)
    assert len(search.runs) < 8


def test_a_candidate_whose_placebo_cannot_be_built_is_confirmed_without_it(tmp_path):
    program = Program(tmp_path)
    search = searched(tmp_path, program)
    plan = program.plan

    def without_placebos(points):
        for point, planned in zip(points, plan(points), strict=True):
            planned.refusal = "no parameters" if point.variant.startswith("placebo of ") else None
            yield planned

    search.means = Means(without_placebos, program.measure, program.train)
    variants = confirmation(search)["variants"]
    assert len(variants) > 1
    assert not any(label.startswith("placebo of ") for label in variants)
    best = list(variants)[1]
    scores = {"baseline": {1: 0.30, 2: 0.31, 3: 0.29}, best: {1: 0.34, 2: 0.35, 3: 0.34}}
    standing = Standing((3, 5), (0.03, 0.04), 1, {best: Arm("better", 1, 3)})
    text = answer(search, Confirmed(scores, scores, standing, DECLARED), "mine-confirm")
    assert f"Without a placebo, because none as large can be built or it has no result yet: {best}." in text


def test_the_answer_and_its_confirmation(tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    search.measure_front()
    content = confirmation(search)
    assert content["seeds"] == [1, 2, 3, 4, 5]
    labels = list(content["variants"])
    assert labels[0] == "baseline"
    assert any(label.startswith("placebo of ") for label in labels)
    best = labels[1]
    scores = {"baseline": {1: 0.30, 2: 0.31, 3: 0.29}, best: {1: 0.34, 2: 0.35, 3: 0.34}}
    standing = Standing((3, 5), (0.03, 0.04), 1, {best: Arm("better", 1, 3)})
    text = answer(search, Confirmed(scores, scores, standing, DECLARED), "mine-confirm")
    final = {search.space.label(one): score for one, score in search.finals().items()}
    assert f"{final[best] - np.mean([0.34, 0.35, 0.34]):+.4f}" in text
    assert "27 candidates: 8 started" in text
    assert "python -m src.report mine-confirm" in text
    assert "| +0.0433 " in text
    assert "| better " in text


def test_the_interval_of_a_verdict_is_of_its_own_look_and_no_other_runs(tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    best, other = [label for label in confirmation(search)["variants"] if label != "baseline"][:2]
    noise = np.random.default_rng(3).normal(0, 0.004, (3, 5))
    scores = {
        name: {seed: 0.3 + shift + noise[row, seed - 1] for seed in range(1, 6)}
        for row, (name, shift) in enumerate({"baseline": 0.0, best: 0.1, other: 0.012}.items())
    }
    at_look = {name: {seed: own[seed] for seed in (1, 2, 3)} for name, own in scores.items()}
    scores[best] |= {4: 0.0, 5: 0.0}  # trained by someone after the look that stopped it
    standing = replay(scores, lambda *_: True, "baseline", DECLARED, DECLARED.margin_or_default)
    assert (standing.complete, standing.arms[best].outcome, standing.arms[best].look) == (2, "better", 1)
    text = answer(search, Confirmed(scores, scores, standing, DECLARED), "mine-confirm")
    row = next(line for line in text.splitlines() if line.startswith(f"| {best} ") and "better" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    difference = np.mean(list(at_look[best].values())) - np.mean(list(at_look["baseline"].values()))
    assert (cells[1], cells[3]) == ("3", f"{difference:+.4f}")
    assert cells[4].startswith("+")


def test_a_measured_front_changes_no_prediction(tmp_path):
    space = {"p3": ["none", "acmix", "se"], "trainer.mosaic": [0.0, 0.5]}
    file = SearchFile("Where?", space, Budget(1.5, 6, at_once=2))
    program = Program(tmp_path)
    search = searched(tmp_path, program, file)
    before = dict(search.costs)
    search.state.costs["trainer.mosaic=0.5"] = 1.4  # measured because it was on the front
    search.state.write(search.folder)
    assert searched(tmp_path, program, file).costs == before


def test_latencies_of_two_machines_are_not_added_up(tmp_path):
    searched(tmp_path, Program(tmp_path))
    path = OutputFolder(tmp_path).searches / "mine" / "search.json"
    content = json.loads(path.read_text())
    del content["costs"]["p3=se"]
    path.write_text(json.dumps(content | {"machine": "another"}))
    with pytest.raises(ConfigError, match="latencies were measured on another, and this is a machine"):
        searched(tmp_path, Program(tmp_path))


def test_a_search_without_hours_left_is_not_at_its_end(tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    assert search.halve()
    search.search = SearchFile("Where?", SPACE, Budget(1.35, 8, hours=1e-9, at_once=2))
    search.score = lambda candidate, epoch: 0.3 if epoch < EPOCHS else None
    assert not search.halve()


def test_a_confirmation_that_has_begun_keeps_its_rules_and_names_who_came_later(tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    write_confirmation(search)
    other = SearchFile("Where?", SPACE, FILE.budget, Confirmation(top=1, looks=(3, 5)))
    with pytest.raises(ConfigError, match=r"confirm: \{top: 1, looks: \[3, 5\]\}, but its confirmation began with"):
        searched(tmp_path, Program(tmp_path), other)
    path = search.folder / "confirm.yaml"
    best = list(confirmation(search)["variants"])[1]
    path.write_text(path.read_text().replace(best, "p3=eca"))
    scores = {"baseline": {1: 0.30, 2: 0.31, 3: 0.29}, "p3=eca": {1: 0.34, 2: 0.35, 3: 0.34}}
    standing = Standing((3, 5), (0.03, 0.04), 1, {"p3=eca": Arm("better", 1, 3)})
    text = answer(search, Confirmed(scores, scores, standing, DECLARED), "mine-confirm")
    assert f"Not confirmed, because the search found them after the confirmation had begun: {best}. search=NAME" in text


def test_a_failure_without_a_traceback_is_named(tmp_path):
    search = searched(tmp_path, Program(tmp_path, broken=("baseline",)))
    found = search.found(search.space.reference)
    found.record.error = "\n"
    found.record.write(found.folder)
    assert search.failures() == {"baseline": "no traceback"}


@pytest.mark.parametrize(("select", "expected"), [("best", 0.2), ("last", 0.1)])
def test_a_candidate_is_ranked_by_the_epoch_that_its_run_would_choose(select, expected, tmp_path):
    search = searched(tmp_path, Program(tmp_path))
    found = search.found(search.space.reference)
    found.record.config["trainer"]["select"] = select
    found.record.write(found.folder)
    journal = RunFolder(found.folder).journal
    journal.unlink()
    for epoch, value in enumerate((0.05, 0.2, 0.15, 0.1, 0.4), 1):
        append_entry(journal, Kind.EPOCH, epoch=epoch, values={"metrics/mAP50-95(B)": value}, scalars={})
    assert search.score(search.space.reference, 4) == expected

"""A search that is killed at any moment ends as one that was not; the same command continues it."""

import sqlite3

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.optuna_search import SAMPLERS, Goal, Search
from yolo26_attention.study.optuna_storage import check_installed, search_lock

GOAL = Goal(("map50_95",), ("latency_ratio",), {})
SPACE = {
    "attention": CategoricalDistribution(["se", "acmix", "cbam"]),
    "trainer.epochs": IntDistribution(4, 12, step=4),
    "trainer.mosaic": FloatDistribution(0, 0.5, step=0.25),
}


class KilledError(Exception):
    """Takes the place of SIGKILL."""


def search(storage, sampler="tpe", *, goal=GOAL, space=SPACE, fixed=("model=yolo26n",), name="s"):
    return Search(str(storage), name, goal, space, fixed, sampler, 0)


def score(trial):
    """A made-up run: more epochs are better and slower."""
    rank = ["se", "acmix", "cbam"].index(trial.params["attention"])
    return (0.1 * rank + trial.params["trainer.epochs"] / 50, 1.0 + 0.1 * rank + trial.params["trainer.mosaic"])


def run(found, total, at_once=1, moments=()):
    """Run trials to their end, or until the moment that is killed: after each proposal, and before each answer."""
    moment = 0
    while trials := found.batch(at_once, total):
        for trial in trials:
            if (moment := moment + 1) in moments:
                raise KilledError
            found.tell(trial, score(trial))
    return found


def trials_of(found):
    return [(trial.number, trial.state.name, trial.params, trial.values) for trial in found.study.trials]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_search_killed_several_times_ends_as_one_that_was_not(sampler, at_once, tmp_path):
    whole = run(search(tmp_path / "whole.journal", sampler), 14, at_once)
    for moments in ((1,), (5,), (2,), (4,)):
        with pytest.raises(KilledError):
            run(search(tmp_path / "killed.journal", sampler), 14, at_once, moments)
    killed = run(search(tmp_path / "killed.journal", sampler), 14, at_once)
    assert trials_of(killed) == trials_of(whole)
    assert {state for _, state, _, _ in trials_of(killed)} == {"COMPLETE"}
    assert len(trials_of(killed)) == 14


def test_a_trial_killed_while_it_was_proposed_gets_the_rest_of_its_options(tmp_path):
    whole = run(search(tmp_path / "whole.journal", "nsgaii"), 4)
    killed = search(tmp_path / "killed.journal", "nsgaii")
    run(killed, 2)
    killed.study.sampler = killed._sampler_of(2)
    killed.study.ask({"attention": SPACE["attention"]})  # and the others never
    run(search(tmp_path / "killed.journal", "nsgaii"), 4)
    assert [set(params) for _, _, params, _ in trials_of(killed)] == [set(SPACE)] * 4
    assert trials_of(killed)[2][2]["attention"] == trials_of(whole)[2][2]["attention"]


def test_a_finished_search_proposes_nothing_and_a_larger_one_continues(tmp_path):
    found = run(search(f"sqlite:///{tmp_path}/a.db"), 3)
    assert found.batch(1, 3) == []
    assert len(run(search(f"sqlite:///{tmp_path}/a.db"), 5).study.trials) == 5


def test_a_grid_has_every_point_once_however_it_was_killed(tmp_path):
    found = search(tmp_path / "a.journal", "grid")
    found.study.enqueue_trial(found.grid[0])  # killed before it was asked for
    run(found, 100)
    points = [tuple(params.values()) for _, _, params, _ in trials_of(found)]
    assert len(points) == len(set(points)) == 3 * 3 * 3


def test_a_grid_refuses_what_has_no_end(tmp_path):
    with pytest.raises(ConfigError, match=r"grid: optimizer\.lr0 has infinitely many values"):
        search(tmp_path / "a.journal", "grid", space={"optimizer.lr0": FloatDistribution(0.1, 0.2)})


def test_only_trials_within_the_bounds_are_the_answer(tmp_path):
    found = run(search(tmp_path / "a.journal", goal=Goal(("map50_95",), (), {})), 0)
    found = search(tmp_path / "b.journal", goal=Goal(("map50_95",), (), {"latency_ratio": 1.15}))
    while trials := found.batch(1, 12):
        for trial in trials:
            found.tell(trial, score(trial))
    assert {trial.params["attention"] for trial in found.study.trials} == {"se", "acmix", "cbam"}
    assert "cbam" not in found.answer()
    within = [trial for trial in found.study.trials if score(trial)[1] <= 1.15]
    assert found.answer().splitlines()[2].split()[0] == f"{max(score(trial)[0] for trial in within):.7g}"


def test_an_answer_is_refused_where_there_is_none(tmp_path):
    found = search(tmp_path / "a.journal", goal=Goal(("map50_95",), (), {"latency_ratio": 0.5}))
    with pytest.raises(ConfigError, match="no trial of the search has finished"):
        found.answer()
    (trial,) = found.batch(1, 1)
    found.tell(trial, score(trial))
    with pytest.raises(ConfigError, match=r"none of 1 finished trials has latency_ratio at most 0\.5"):
        found.answer()


@pytest.mark.parametrize("returned", [RuntimeError("out of memory"), float("nan"), 0.5, None])
def test_a_run_without_its_values_is_a_failed_trial_and_the_search_continues(returned, tmp_path):
    found = search(tmp_path / "a.journal")
    (trial,) = found.batch(1, 3)
    assert str(returned) in found.tell(trial, returned)
    run(found, 3)
    assert [state for _, state, _, _ in trials_of(found)] == ["FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"goal": Goal(("map50",), ("latency_ratio",), {})}, "began with maximize map50_95, and not map50"),
        ({"fixed": ("model=yolo26s",)}, "began with options model=yolo26n, and not model=yolo26s"),
        ({"space": {**SPACE, "attention": CategoricalDistribution(["se"])}}, "began with space attention=Categorical"),
        ({"space": {"attention": SPACE["attention"]}}, r"began with space .* trainer\.epochs=IntDistribution"),
        ({"space": {**SPACE, "seed": IntDistribution(0, 1)}}, r"and not .* seed=IntDistribution"),
        ({"space": {**SPACE, "trainer.epochs": IntDistribution(4, 16, step=4)}}, r"and not .*high=16"),
        ({"sampler": "grid"}, "began with sampler tpe, and not grid"),
    ],
)
def test_a_name_stands_for_one_search(changed, message, tmp_path):
    run(search(tmp_path / "a.journal"), 2)
    with pytest.raises(ConfigError, match=message):
        search(tmp_path / "a.journal", **changed)


def test_where_and_with_how_many_threads_it_runs_may_change(tmp_path):
    run(search(tmp_path / "a.journal"), 2)
    search(tmp_path / "a.journal", fixed=("model=yolo26n", "trainer.threads=1", "output_dir=x", "tracking=disabled"))


def test_a_search_of_another_program_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    theirs = optuna.create_study(study_name="s", storage=storage, directions=["maximize", "minimize"])
    theirs.ask(SPACE)
    with pytest.raises(ConfigError, match="another program made this search"):
        search(storage)


def test_a_database_of_an_earlier_optuna_says_how_it_is_upgraded(tmp_path):
    run(search(f"sqlite:///{tmp_path}/a.db"), 1)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(
        ConfigError, match="another version of Optuna wrote it; upgrade it with: optuna storage upgrade"
    ):
        search(f"sqlite:///{tmp_path}/a.db")


@pytest.mark.parametrize("storage", ["postgresql://nowhere/x", "nonsense://x"])
def test_a_database_that_cannot_be_opened_is_refused(storage):
    with pytest.raises(ConfigError, match="cannot be opened"):
        search(storage)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((), (), {}), "a search needs one objective"),
        ((("map",), (), {}), "maximize: map is unknown; choose from map50_95"),
        ((("map50",), (), {"ms": 1.0}), "at_most: ms is unknown"),
        ((("map50",), (), {"gflops": "few"}), r"at_most\.gflops=few: give a number"),
    ],
)
def test_a_goal_that_no_run_measures_is_refused(parts, message):
    with pytest.raises(ConfigError, match=message):
        Goal(*parts)


def test_an_unknown_sampler_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="sampler=cma is unknown; choose from tpe"):
        search(tmp_path / "a.journal", "cma")


def test_two_processes_do_not_search_the_same(tmp_path):
    with search_lock(tmp_path, "s"), search_lock(tmp_path, "another"):
        with (
            pytest.raises(ConfigError, match=r"another process \(pid \d+ on .*\) is at this search"),
            search_lock(tmp_path, "s"),
        ):
            pass


def test_an_optuna_that_a_plugin_holds_back_is_refused(monkeypatch):
    check_installed()
    monkeypatch.setattr("yolo26_attention.study.optuna_storage.version", lambda name: "2.10.1")
    with pytest.raises(ConfigError, match=r"needs Optuna 5, and 2\.10\.1 is installed.* pip uninstall"):
        check_installed()

"""What a study file may declare, and what is refused."""

import json
from dataclasses import replace

import pytest

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.typed import parse, plain
from yolo26_attention.study.declaration import Declaration, declaration_hash, read_declaration
from yolo26_attention.study.runs import Declared, StudyEntry


def declared(**content):
    return read_declaration("s.yaml", content)


def test_seeds_alone_are_the_baselines_too():
    found = declared(seeds=[0, 1, 2])
    assert found == Declaration(seeds=(0, 1, 2), baseline_seeds=(0, 1, 2))
    assert not found.looks


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        pytest.param([3, 5, 10], (3, 5, 10), id="list"),
        pytest.param("each 3..6", (3, 4, 5, 6), id="each"),
        pytest.param([4], (4,), id="one"),
    ],
)
def test_looks_say_how_many_seeds_there_are(looks, found):
    study = declared(looks=looks)
    assert study.looks == found
    assert study.seeds == tuple(range(found[-1]))


def test_the_baseline_may_have_more_seeds():
    study = declared(seeds={"baseline": 6, "others": 3})
    assert study.seeds == (0, 1, 2)
    assert study.baseline_seeds == (0, 1, 2, 3, 4, 5)
    assert [study.seeds_at(look, True) for look in (1, 2, 3)] == [(0, 1), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)]
    assert study.seeds_at(2, False) == (0, 1)


def test_seeds_of_each_kind_may_be_a_range():
    study = declared(seeds={"baseline": "0..4", "others": "0,2"})
    assert (study.seeds, study.baseline_seeds) == ((0, 2), (0, 2, 1, 3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"looks": []}, r"looks=\[\]: give increasing numbers of seeds from 2 on", id="no-look"),
        pytest.param({"looks": [3, 3]}, r"looks=\[3, 3\]: give increasing", id="twice"),
        pytest.param({"looks": [1, 3]}, r"looks=\[1, 3\]: give increasing", id="one-seed"),
        pytest.param(
            {"looks": "3..5"}, r"looks=3\.\.5: give increasing numbers of seeds .* or each 3\.\.12", id="range"
        ),
        pytest.param(
            {"looks": [3, 5], "seeds": [0, 1, 2]}, r"end at 5 seeds, but there are 3; make them equal", id="seeds"
        ),
        pytest.param(
            {"seeds": [0, 1], "margin": 0}, r"margin=0: a difference of mAP50-95 above 0 and below 1", id="margin"
        ),
        pytest.param(
            {"seeds": [0, 1], "metric": "map50", "margin": 0}, r"margin=0: a difference of mAP50 above", id="of-map50"
        ),
        pytest.param(
            {"seeds": [0, 1], "metric": "recall"},
            r"metric=recall: it depends on a confidence that is chosen on the same images; choose map50_95, map50, ap_",
            id="recall",
        ),
        pytest.param({"seeds": [0, 1], "metric": "map"}, r"metric=map: choose map50_95, map50, ap_small", id="metric"),
        pytest.param({"seeds": [0, 1], "margin": "a"}, r"margin=a: a difference", id="margin-word"),
        pytest.param({"seeds": [0, 1], "stop": True}, r"stop=true needs looks; declare when to look", id="stop"),
        pytest.param({"seeds": [0, 1], "repeats": 3}, r"repeats=3: the number of seeds .* from 0 to 2", id="repeats"),
        pytest.param({"seeds": [0, 1], "repeats": True}, r"repeats=True: the number of seeds", id="repeats-word"),
        pytest.param({"looks": [2, 3], "stop": "yes"}, r"stop=yes: true or false", id="stop-word"),
        pytest.param(
            {"seeds": {"baseline": 3}}, r"give baseline and others, such as \{baseline: 6, others: 3\}", id="half"
        ),
        pytest.param(
            {"seeds": {"baseline": 2, "others": 3}}, r"the baseline needs every seed of the others", id="fewer"
        ),
        pytest.param({"seeds": {"baseline": 0, "others": 3}}, r"seeds of 0; give at least one", id="none"),
    ],
)
def test_what_cannot_be_declared_is_refused(content, message):
    with pytest.raises(ConfigError, match=message):
        declared(**content)


def test_a_declaration_survives_study_json():
    study = declared(looks=[3, 5], margin=0.01, stop=True)
    written = Declared(**vars(study), hash="12345678", known=0)
    assert parse(Declared, json.dumps(plain(written))) == written


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"margin": 0.02}, id="margin"),
        pytest.param({"looks": [3, 6]}, id="looks"),
        pytest.param({"stop": False}, id="stop"),
        pytest.param({"metric": "map50"}, id="metric"),
        pytest.param({"repeats": 2}, id="repeats"),
    ],
)
def test_the_hash_changes_with_what_was_declared(changed):
    content = {"looks": [3, 5], "margin": 0.01, "stop": True}
    points = [StudyEntry("a", "baseline", 0, ["attention=baseline"])]
    first = declaration_hash(declared(**content), "Why?", points)
    assert first == declaration_hash(declared(**content), "Why?", [replace(points[0], run="other")])
    assert first != declaration_hash(declared(**{**content, **changed}), "Why?", points)
    assert first != declaration_hash(declared(**content), "How?", points)
    assert first != declaration_hash(declared(**content), "Why?", [replace(points[0], seed=1)])


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ("data.source=/my", True),
        ("data.download=true", True),
        ("tracking=disabled", True),
        ("tracking.tags=[a]", True),
        ("trainer.device=cpu", True),
        ("trainer.threads=1", True),
        ("latency.enabled=false", True),
        ("output_dir=elsewhere", True),
        ("trainer=full", False),
        ("trainer.epochs=3", False),
        ("data.test_images=8", False),
        ("optimizer=sgd", False),
        ("repeat=1", False),
    ],
)
def test_the_hash_changes_with_options_that_have_an_effect(option, same):
    points = [StudyEntry("a", "baseline", 0, ["attention=baseline", "data=bccd"])]
    given = [replace(points[0], overrides=[*points[0].overrides, option])]
    study = declared(seeds=[0])
    assert (declaration_hash(study, "Why?", points) == declaration_hash(study, "Why?", given)) is same


def test_declarations_of_before_there_was_a_choice_of_metric_keep_their_hash():
    points = [StudyEntry("a", "baseline", 0, ["attention=baseline"])]
    study = declared(looks=[3, 5], margin=0.01, stop=True)
    assert declaration_hash(study, "Why?", points) == "c1f9732d"  # written before
    assert declaration_hash(replace(study, metric="map50_95"), "Why?", points) == "c1f9732d"  # written before

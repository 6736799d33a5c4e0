"""What a study file stands for, and what is refused in one."""

import pytest
import yaml

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.study.declaration import parse_seeds
from yolo26_attention.study.definition import load_study


def study(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_study(str(path))


def content(**changes):
    base = {
        "question": "What?",
        "seeds": [0, 1],
        "variants": {
            "baseline": {"attention": "baseline"},
            "acmix": {"attention": "acmix", "attention.kernel_att": [3, 5], "attention.heads": [2, 4]},
        },
    }
    return yaml.safe_dump({**base, **changes}, sort_keys=False)


def test_a_grid_times_seeds_with_all_variants_of_a_seed_together(tmp_path):
    points = study(tmp_path, content()).points()
    assert [(point.variant, point.seed) for point in points[:6]] == [
        ("baseline", 0),
        ("acmix kernel_att=3 heads=2", 0),
        ("acmix kernel_att=3 heads=4", 0),
        ("acmix kernel_att=5 heads=2", 0),
        ("acmix kernel_att=5 heads=4", 0),
        ("baseline", 1),
    ]
    assert len(points) == 10
    assert points[1].overrides == ["attention=acmix", "attention.kernel_att=3", "attention.heads=2", "seed=0"]
    assert points[1].swept == {"attention.kernel_att": 3, "attention.heads": 2}
    assert (points[0].overrides, points[0].swept) == (["attention=baseline", "seed=0"], {})


def test_seeds_and_overrides_of_the_command_line(tmp_path):
    points = study(tmp_path, content()).with_seeds((7,)).points(["trainer=full", "attention.dilation=2"])
    assert points[0].overrides == ["attention=baseline", "trainer=full", "seed=7"]
    assert points[1].overrides[-3:] == ["trainer=full", "attention.dilation=2", "seed=7"]


def test_common_options_and_a_variant_that_changes_one(tmp_path):
    text = content(
        common={"trainer": "full", "trainer.epochs": 9},
        variants={"baseline": {"attention": "baseline"}, "long": {"attention": "acmix", "trainer.epochs": 99}},
    )
    baseline, long = study(tmp_path, text).with_seeds((0,)).points()
    assert baseline.settings == ("trainer=full", "trainer.epochs=9", "attention=baseline")
    assert long.settings == ("trainer=full", "trainer.epochs=99", "attention=acmix")


def test_a_list_within_the_list_is_a_value(tmp_path):
    text = content(variants={"baseline": {"attention": "baseline"}, "a": {"placement.sites": [["p3", "p4"], ["p5"]]}})
    assert [point.settings[0] for point in study(tmp_path, text).with_seeds((0,)).points()[1:]] == [
        "placement.sites=[p3,p4]",
        "placement.sites=[p5]",
    ]


def test_one_list_within_a_list_is_one_value_also_of_the_baseline(tmp_path):
    variants = {"baseline": {"attention": "baseline"}, "a": {"attention": "acmix", "placement.sites": [["p3", "p5"]]}}
    text = content(variants=variants, common={"latency.throughput_batches": [[]]})
    baseline, acmix = study(tmp_path, text).with_seeds((0,)).points()
    assert (baseline.variant, acmix.variant) == ("baseline", "a")
    assert "latency.throughput_batches=[]" in baseline.settings
    assert "placement.sites=[p3,p5]" in acmix.settings


def test_each_variant_is_compared_with_the_stock_model_of_its_kind():
    compared = {point.variant: point.baseline for point in load_study("model_scale").with_seeds((0,)).points()}
    assert compared == {
        "baseline": "baseline",
        "stock model=yolo26s": "stock model=yolo26s",
        "stock model=yolo26m": "stock model=yolo26m",
        "acmix model=yolo26n": "baseline",
        "acmix model=yolo26s": "stock model=yolo26s",
        "acmix model=yolo26m": "stock model=yolo26m",
    }


def test_what_the_optimizer_does_to_the_graft_is_part_of_the_treatment(tmp_path):
    frozen = {"attention": "acmix", "optimizer": "sgd", "optimizer.attention.frozen": True}
    stock = {"attention": "baseline", "optimizer": "sgd"}
    text = content(variants={"baseline": {"attention": "baseline"}, "stock": stock, "frozen": frozen})
    assert [point.baseline for point in study(tmp_path, text).with_seeds((0,)).points()] == [
        "baseline",
        "stock",
        "stock",
    ]


@pytest.mark.parametrize(
    ("value", "seeds"),
    [
        pytest.param("0..3", (0, 1, 2, 3), id="range"),
        pytest.param("0,2,5", (0, 2, 5), id="commas"),
        pytest.param("[0,1]", (0, 1), id="hydra-list"),
        pytest.param([4, 5], (4, 5), id="yaml-list"),
        pytest.param("0..1,7", (0, 1, 7), id="both"),
        pytest.param(3, (3,), id="one"),
    ],
)
def test_seeds(value, seeds):
    assert parse_seeds(value) == seeds


@pytest.mark.parametrize("value", ["", "3..1", "a", "1.5", "-1", "0,0", "0..2,1", [], None])
def test_seeds_that_are_none(value):
    with pytest.raises(ConfigError, match=r"seeds="):
        parse_seeds(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true", id="bool"),
        pytest.param(0.5, "0.5", id="float"),
        pytest.param("yolo26n.pt", "yolo26n.pt", id="plain"),
        pytest.param("my data/a,b.yaml", "'my data/a,b.yaml'", id="quoted"),
        pytest.param("it's", "'it\\'s'", id="quote"),
        pytest.param("1", "'1'", id="string-of-a-number"),
        pytest.param({"kernel_att": 5}, "{kernel_att:5}", id="mapping"),
    ],
)
def test_values_as_hydra_reads_them(value, text):
    assert as_override(value) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"typo": 1}, r"has the key typo, which no study has; there are common, components", id="unknown-key"
        ),
        pytest.param({"variants": ["a"]}, r"holds options by name", id="list"),
        pytest.param({"variants": {"baseline": None}}, r"baseline holds no options", id="empty-variant"),
        pytest.param({"variants": {"a": {"attention": "acmix"}}}, r"a alone compares nothing", id="one-variant"),
        pytest.param({"components": {"a": {"attention": "acmix"}}}, r"either variants or components", id="both"),
        pytest.param({"design": "full"}, r"design=full combines components", id="design-of-variants"),
        pytest.param(
            {"variants": {"baseline": {"attention": "baseline", "model": ["a", "b"]}}},
            r"and model: \['a', 'b'\] is swept; give model one value, or model: \[\['a', 'b'\]\] for a list",
            id="baselines",
        ),
        pytest.param(
            {"variants": {"baseline": {"attention": "baseline"}, "a": {"seed": 1}}}, r"seeds go into", id="seed"
        ),
        pytest.param(
            {"variants": {"baseline": {"attention": "baseline"}, "a": {"model": []}}}, r"sweeps over nothing", id="none"
        ),
        pytest.param({"common": {"objectives": []}}, r"common: objectives sweeps over nothing", id="none-in-common"),
        pytest.param(
            {"variants": {"baseline": {"attention": "baseline"}, "a b": {}, "a-b": {}}}, r"two variants", id="twice"
        ),
    ],
)
def test_files_that_are_no_study(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        study(tmp_path, content(**changes))


def test_yaml_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"mine.yaml is not valid YAML"):
        study(tmp_path, "question: [")


def test_unknown_study_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"no study kernal_att. Did you mean kernel_att\? .*acmix_paths, .*placement"):
        load_study("kernal_att")


def test_an_override_of_what_the_study_varies(tmp_path):
    with pytest.raises(ConfigError, match=r"attention.heads=8: mine varies attention.heads itself"):
        study(tmp_path, content()).points(overrides=["attention.heads=8"])


def test_without_a_variant_called_baseline_the_first_one_is_it(tmp_path):
    text = content(variants={"sgd": {"optimizer": "sgd"}, "musgd": {"optimizer": "musgd"}, "auto": {}})
    points = study(tmp_path, text).with_seeds((0,)).points()
    assert {point.variant: point.baseline for point in points} == {"sgd": "sgd", "musgd": "sgd", "auto": "sgd"}


def test_a_grid_of_stock_models_is_compared_with_its_first_cell(tmp_path):
    text = content(variants={"stock": {"attention": "baseline", "optimizer": ["sgd", "musgd"]}})
    points = study(tmp_path, text).with_seeds((0,)).points()
    assert [point.baseline for point in points] == ["stock optimizer=sgd"] * 2


def test_common_options_may_be_overridden_for_a_pilot(tmp_path):
    text = content(common={"data": "digits", "trainer.epochs": 9})
    points = study(tmp_path, text).points(["trainer.epochs=1"])
    assert points[0].settings == ("data=digits", "attention=baseline", "trainer.epochs=1")


def test_repeats_train_the_first_seeds_of_the_baseline_once_more(tmp_path):
    points = study(tmp_path, content(repeats=2)).points()
    assert len(points) == 12
    assert [(p.variant, p.baseline, p.overrides) for p in points[10:]] == [
        ("baseline repeated", "baseline repeated", ["attention=baseline", "repeat=1", f"seed={seed}"])
        for seed in (0, 1)
    ]


def test_repeats_of_a_study_of_components_have_no_components(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("question: x\nseeds: [0]\nrepeats: 1\ncomponents: {a: {attention.grafts: {p3: se}}}\n")
    *_, last = load_study(str(path)).points()
    assert (last.variant, last.overrides[-2:]) == ("baseline repeated", ["repeat=1", "seed=0"])


def test_fewer_seeds_have_no_more_repeats_than_there_are(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "question: x\nseeds: [0, 1, 2]\nrepeats: 3\nvariants: {baseline: {attention: baseline}, b: {attention: se}}\n"
    )
    assert load_study(str(path)).with_seeds((4,)).declared.repeats == 1

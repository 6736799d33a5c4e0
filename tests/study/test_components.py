"""Components of a study and their combinations."""

import pytest
import yaml

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.definition import load_study

COMPONENTS = {
    "acmix": {"attention.grafts": {"p3": "acmix"}},
    "cbam": {"attention.grafts": {"p5": "cbam"}},
    "mosaic": {"trainer.mosaic": 1.0},
}


def study(folder, **changes):
    path = folder / "mine.yaml"
    content = {"question": "What?", "seeds": [0, 1], "components": COMPONENTS, **changes}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_study(str(path))


def labels(found):
    return [point.variant for point in found.with_seeds((0,)).points()]


def settings(found):
    return {point.variant: point.settings for point in found.with_seeds((0,)).points()}


def test_a_full_design_has_every_combination_once(tmp_path):
    found = study(tmp_path)
    assert labels(found) == [
        "baseline",
        "acmix",
        "cbam",
        "mosaic",
        "acmix + cbam",
        "acmix + mosaic",
        "cbam + mosaic",
        "acmix + cbam + mosaic",
    ]
    points = found.points()
    assert {point.baseline for point in points} == {"baseline"}
    assert points[4].components == ("acmix", "cbam")
    assert points[0].components == ()
    assert len(points) == 16


def test_each_alone_and_leaving_one_out(tmp_path):
    assert labels(study(tmp_path, design="each_alone")) == ["baseline", "acmix", "cbam", "mosaic"]
    assert labels(study(tmp_path, design="leave_one_out")) == [
        "baseline",
        "acmix + cbam + mosaic",
        "cbam + mosaic",
        "acmix + mosaic",
        "acmix + cbam",
    ]


def test_a_list_of_combinations_always_has_the_baseline(tmp_path):
    design = [["acmix"], ["mosaic", "acmix"], ["cbam", "mosaic"]]
    assert labels(study(tmp_path, design=design)) == ["baseline", "acmix", "acmix + mosaic", "cbam + mosaic"]


def test_grafts_make_a_mix_and_the_baseline_has_no_attention(tmp_path):
    found = settings(study(tmp_path, common={"data": "digits"}))
    assert found["baseline"] == ("data=digits", "attention=baseline")
    assert found["mosaic"] == ("data=digits", "attention=baseline", "trainer.mosaic=1.0")
    assert found["acmix + cbam + mosaic"] == (
        "data=digits",
        "attention=mix",
        "attention.grafts={p3:acmix,p5:cbam}",
        "trainer.mosaic=1.0",
    )


def test_grafts_at_one_site_are_joined_in_the_order_of_the_components(tmp_path):
    components = {
        "acmix": {"attention.grafts": {"p3": {"name": "acmix", "kernel_att": 5}}},
        "both": {"attention.grafts": {"p3": ["se", "cbam"], "p4": "eca"}},
    }
    found = settings(study(tmp_path, components=components))
    assert found["acmix + both"][1] == "attention.grafts={p3:[{name:acmix,kernel_att:5},se,cbam],p4:eca}"


def test_components_of_other_options_keep_the_common_attention(tmp_path):
    components = {"wide": {"trainer.imgsz": 320}, "p2": {"model": "yolo26n-p2"}}
    found = settings(study(tmp_path, components=components, common={"attention": "cbam"}))
    assert found["baseline"] == ("attention=cbam",)
    assert found["wide + p2"] == ("attention=cbam", "trainer.imgsz=320", "model=yolo26n-p2")


def test_a_list_is_one_value_of_a_component(tmp_path):
    components = {"sites": {"attention": "acmix", "placement.sites": ["p3", "p4"]}}
    assert settings(study(tmp_path, components=components))["sites"] == (
        "attention=acmix",
        "placement.sites=[p3,p4]",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"components": ["a"]}, r"components holds options by name", id="list"),
        pytest.param({"components": {"a b": {"model": "x"}}}, r"component a b: use letters", id="name"),
        pytest.param({"components": {"baseline": {"model": "x"}}}, r"another name than baseline", id="baseline"),
        pytest.param({"components": {"a": {}}}, r"component a holds no options", id="empty"),
        pytest.param({"components": {"a": {"seed": 1}}}, r"seed: seed, study and output_dir cannot be", id="seed"),
        pytest.param({"design": "half"}, r"design=half: full, each_alone, leave_one_out", id="design"),
        pytest.param({"design": [["acmix", "nobody"]]}, r"design names nobody", id="unknown"),
        pytest.param({"design": [["acmix", "acmix"]]}, r"a component twice", id="twice-in-one"),
        pytest.param(
            {"design": [["acmix", "cbam"], ["cbam", "acmix"], ["mosaic"]]}, r"acmix \+ cbam twice", id="twice"
        ),
        pytest.param({"design": [["acmix"]]}, r"component cbam is in no combination", id="unused"),
        pytest.param(
            {"components": {f"c{i}": {"trainer.mosaic": i} for i in range(7)}}, r"has 128 combinations", id="many"
        ),
        pytest.param(
            {"components": {"a": {"attention": "acmix"}, "b": {"attention": "cbam"}}},
            r"components a and b set attention to acmix and cbam.* attention.grafts",
            id="conflict",
        ),
    ],
)
def test_components_that_cannot_be_studied(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        study(tmp_path, **changes)


def test_an_option_of_a_component_is_the_study_s_own(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer.mosaic=0: mine varies trainer.mosaic itself"):
        study(tmp_path).points(["trainer.mosaic=0"])


def test_labels_that_are_one_in_file_names_are_refused(tmp_path):
    components = {name: {"trainer.mosaic": 0.1} for name in ("a", "b", "a-b")}
    with pytest.raises(ConfigError, match=r"two variants are called a-b; give them other names"):
        study(tmp_path, components=components)

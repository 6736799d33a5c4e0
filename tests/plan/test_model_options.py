"""Baselines and networks of one's own on the command line."""

import pytest

from tests.detector.test_baselines import OWN
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import ModelConfig
from yolo26_attention.plan.checks import check
from yolo26_attention.plan.model_options import resolve_model


def test_a_baseline_goes_through_the_same_path(tiny):
    plan = check(tiny("model=yolov8n", "attention=acmix", "placement=p3"))
    assert plan.arguments["model"] == "yolov8n.yaml"
    assert plan.folder.name.startswith("acmix-p3-yolov8n-digits-")
    assert check(tiny("model=yolov8n", "attention=baseline")).run_id != check(tiny("attention=baseline")).run_id


def test_a_network_of_one_s_own_is_identified_by_its_content(tiny, tmp_path):
    first, moved, changed = tmp_path / "mine.yaml", tmp_path / "moved" / "mine.yaml", tmp_path / "changed.yaml"
    moved.parent.mkdir()
    first.write_text(OWN)
    moved.write_text(OWN)
    changed.write_text(OWN.replace("C2f, [64]", "C3k2, [64]"))
    plan, again, other = (check(tiny(f"model.yaml={path}", "placement=p3")) for path in (first, moved, changed))
    assert plan.folder.name.startswith("acmix-p3-mine-digits-")
    assert plan.run_id == again.run_id != other.run_id
    assert plan.arguments["model"] == str(first)


def test_a_name_beside_a_network_of_one_s_own_is_refused(tiny, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    with pytest.raises(ConfigError, match=r"model.name=yolo26s has no effect on model.yaml=.*; give one of the two"):
        check(tiny("model=yolo26s", f"model.yaml={path}", "placement=p3"))


def test_the_default_name_is_refused_only_where_it_was_typed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    model = ModelConfig(name="yolo26n", yaml=str(path))
    assert resolve_model(model, [f"model.yaml={path}"]).name == "mine"
    with pytest.raises(ConfigError, match=r"model.name=yolo26n has no effect"):
        resolve_model(model, ["model=yolo26n", f"model.yaml={path}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"model.yaml=\S+mine.yaml: no such file"),
        (OWN.replace("C2f", "C2g"), r"mine.yaml: Ultralytics cannot build it \(\w+: .*try it with YOLO"),
        (f"activation: print(1)\n{OWN}", r"mine.yaml: Ultralytics cannot build it \(TypeError: .*activation"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(text, message, tiny, tmp_path):
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        check(tiny(f"model.yaml={tmp_path / 'mine.yaml'}", "placement=p3"))

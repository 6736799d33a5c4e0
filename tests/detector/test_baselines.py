"""Other detection networks of Ultralytics take the graft as YOLO26 does; one of each family."""

import copy

import pytest
import torch
from ultralytics.nn.tasks import guess_model_scale, guess_model_task, yaml_model_load

from yolo26_attention.config.models import BASELINES, MODELS
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.sites import find_sites
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock, network_digest

ACMIX = "yolo26_attention.attention.acmix.ACmix"
SMALLEST = {
    "yolo11n": ["sppf", "c2psa"],
    "yolo12n": [],
    "yolov10n": ["sppf", "psa"],
    "yolov9t": ["sppf"],
    "yolov8n": ["sppf"],
    "yolov6n": ["sppf"],
    "yolov5n": ["sppf"],
    "yolov3-tiny": [],
}
OWN = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, C2f, [32]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, C2f, [64]]
head:
  - [[3, 5], 1, Detect, [nc]]
"""


@pytest.mark.parametrize("name", MODELS)
def test_every_name_is_a_detection_network_of_ultralytics(name):
    settings = yaml_model_load(f"{name}.yaml")
    assert guess_model_task(settings) == "detect"
    assert settings["scale"] == guess_model_scale(name)


def test_every_family_is_tried():
    assert {name.rstrip("nsmblxtce") for name in SMALLEST if "tiny" not in name} <= {
        name.rstrip("nsmblxtce") for name in BASELINES
    }


@pytest.mark.parametrize(("name", "ends"), SMALLEST.items())
def test_a_baseline_takes_the_graft_and_keeps_its_tensors(name, ends):
    torch.manual_seed(0)
    model = build_stock(name, classes=3, channels=3)
    sites = find_sites(model)
    stages = [f"backbone_p{level}" for level in range(2, 6)]
    neck = ["p4", "p5"] if name == "yolov3-tiny" else ["p3", "p4", "p5"]
    assert [site for site in sites if site.startswith("backbone")] == stages
    assert [site for site in sites if not site.startswith(("backbone", "p3", "p4", "p5"))] == ends
    assert sorted(site for site in sites if site in ("p2", "p3", "p4", "p5", "p6")) == neck

    stock, x = copy.deepcopy(model), torch.rand(1, 3, 64, 96)
    graft(model, Graft(ACMIX, {}, ("neck",), gate="zero"))
    assert sorted(grafted_attention(model)) == neck
    before, after = stock.state_dict(), model.state_dict()
    assert all(torch.equal(before[tensor], after[tensor]) for tensor in before)
    with torch.no_grad():
        expected, found = stock.eval()(x)[0], model.eval()(x)[0]
        assert torch.equal(found, expected)
        for attention in grafted_attention(model).values():
            attention.gate.fill_(1)
        assert model(x)[0].shape == expected.shape
        assert not torch.equal(model(x)[0], expected)


def test_a_network_of_the_user_has_sites_and_an_identity_of_its_content(tmp_path):
    first, moved, other = tmp_path / "mine.yaml", tmp_path / "elsewhere.yaml", tmp_path / "other.yaml"
    first.write_text(OWN)
    moved.write_text(f"# moved\n{OWN}")
    other.write_text(OWN.replace("C2f, [64]", "C3k2, [64]"))
    assert list(find_sites(build_stock(str(first), classes=3, channels=3))) == ["p3", "p4"]
    assert network_digest(first) == network_digest(moved) != network_digest(other)


def test_no_code_of_a_user_s_network_runs(tmp_path):
    path, marker = tmp_path / "mine.yaml", tmp_path / "marker"
    path.write_text(f"activation: open({str(marker)!r}, 'w')\n{OWN}")
    with pytest.raises(TypeError, match="unsupported activation"):
        build_stock(str(path), classes=3, channels=3)
    assert not marker.exists()
    path.write_text(f"activation: torch.nn.ReLU()\n{OWN}")
    acts = {type(m) for m in build_stock(str(path), classes=3, channels=3).modules()}
    assert torch.nn.ReLU in acts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nc: 3", r"mine.yaml has no list backbone; write it as Ultralytics' yolo26.yaml"),
        ("[1", r"mine.yaml cannot be read \(\w+\)"),
        (OWN.replace("Detect, [nc]", "Segment, [nc, 32, 64]"), r"is a network for segment; .*from Python"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        network_digest(path)

"""Heatmaps: equal to Ultralytics' LayerCAM where that has one, at any site, on images chosen by rule."""

import cv2
import numpy as np
import pytest
import torch
from ultralytics import YOLO
from ultralytics.utils import plotting

from src.report import Options, report
from tests.fabricate import config_of, write_matches, write_run
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.detections import gains
from yolo26_attention.reporting.heatmaps import draw_heatmaps, layer_cam
from yolo26_attention.reporting.study import StudyError, read_study


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = YOLO("yolo26n.yaml").model.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for module in network.model[-1].modules():  # an untrained head has next to no gradient
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=3)
    return network


def image_of(size=64):
    return np.random.default_rng(0).random((size, size, 3), dtype=np.float32)


def test_the_head_maps_give_the_heatmap_of_ultralytics(model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(cv2, "applyColorMap", lambda cam, colours: seen.append(cam) or np.dstack([cam] * 3))

    class Backend(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x)

    pixels = image_of()
    plotting.class_activation_map(Backend(), torch.from_numpy(pixels).permute(2, 0, 1)[None], ["a.png"], tmp_path)
    ours = layer_cam(model, pixels, ["p3", "p4", "p5"])
    assert ours.max() == pytest.approx(1)
    np.testing.assert_allclose(ours * 255, seen[0].astype(float), atol=1.5)


def test_any_site_has_a_heatmap_of_its_own(model):
    maps = [layer_cam(model, image_of(), [site]) for site in ("p3", "backbone_p2", "c2psa")]
    assert all(heat.shape == (64, 64) and 0 <= heat.min() and heat.max() <= 1 for heat in maps)
    assert maps[1].max() > 0
    assert not np.allclose(maps[0], maps[1])


def test_an_unknown_site_is_refused_with_the_names(model):
    with pytest.raises(StudyError, match="sites=p9: the network has no site p9; it has backbone_p2"):
        layer_cam(model, image_of(), ["p9"])


@pytest.fixture
def study(tmp_path, model):
    """Baseline, ACmix and placebo with checkpoints of the stock network: what is loaded does not matter here."""
    for index, name in enumerate(("baseline", "acmix", "placebo")):
        folder = write_run(tmp_path, config_of({"name": name}, 0), 0.5 + 0.1 * index)
        write_matches(folder, index, 0.5, images=12)
        (folder / "train" / "weights").mkdir()
        torch.save({"model": model, "train_args": {"task": "detect"}}, folder / "train" / "weights" / "best.pt")
    return tmp_path


def drawn(output_dir, sites=()):
    results = compare(read_study("made_up", output_dir), margin=0.005)
    return draw_heatmaps(results, answer(results).about, sites)


def test_baseline_variant_and_placebo_stand_side_by_side(study):
    (picture,) = drawn(study)
    assert picture.key == "heatmaps_p3+p4+p5"
    assert "of baseline, acmix, placebo of acmix side by side" in picture.alt
    folders = [study / "runs" / f"{name}-12-s0" / "matches.npz" for name in ("baseline", "acmix")]
    gain = gains(*map(read_matches, folders))
    shown = picture.caption.split("random: ")[1].split(". A heatmap")[0].split(", ")
    assert len(set(shown)) == 4
    assert shown[:2] == [f"{gain.argmax()}.png", f"{len(gain) - 1 - gain[::-1].argmin()}.png"]


def test_each_site_that_is_asked_for_has_a_figure(study):
    assert [picture.key for picture in drawn(study, ["p3", "backbone_p4"])] == ["heatmaps_p3", "heatmaps_backbone_p4"]


def test_a_replaced_checkpoint_costs_the_heatmaps_and_no_more(study, caplog):
    for path in study.glob("runs/*/record.json"):
        path.write_text(path.read_text().replace('"checkpoints": {}', '"checkpoints": {"best": "0123"}'))
    assert drawn(study) == []
    assert "is not the checkpoint that this run trained" in caplog.text


def test_the_report_draws_the_variant_that_is_asked_for(study):
    report(Options("made_up", str(study), variant="placebo of acmix", sites="[p4]", resamples=0))
    text = (study / "studies" / "made_up" / "report" / "report.md").read_text()
    assert "heatmaps at p4 of baseline, placebo of acmix side by side" in text


def test_a_variant_that_is_not_compared_is_refused_with_the_labels(study):
    with pytest.raises(ConfigError, match=r"variant=nosuch: .*; choose placebo of acmix, acmix"):
        report(Options("made_up", str(study), variant="nosuch", resamples=0))

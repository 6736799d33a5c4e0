"""Where a pixel looks, and the pictures of what networks do on validation images."""

import os
import re

import numpy as np
import pytest
import torch

from tests.fabricate import config_of, write_matches, write_run
from tests.faults.data import Call, cut
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.record import Record
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.attention_windows import draw_windows, look_at
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.detections import draw_detections
from yolo26_attention.reporting.study import read_study
from yolo26_attention.yolo import grafted_yolo


def module(**options):
    torch.manual_seed(0)
    return ACmix(8, heads=2, **options)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"kernel_att": 3}, id="small"),
        pytest.param({"kernel_att": 7}, id="beyond_the_border"),
        pytest.param({"kernel_att": 3, "dilation": 2}, id="dilated"),
    ],
)
def test_an_even_attention_is_one_everywhere_in_the_window(options):
    acmix = module(**options)
    for layer in (acmix.conv1, acmix.conv2, acmix.conv_p):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(acmix.conv1.bias)
    look = look_at(acmix, torch.randn(1, 8, 6, 6), (60, 60), (25.0, 41.0))
    assert look.query == (2, 4)
    inside = np.isfinite(look.ratio)
    np.testing.assert_allclose(look.ratio[inside], 1, atol=1e-6)
    assert look.spread == pytest.approx(options["kernel_att"] ** 2, rel=1e-5)


def test_a_look_at_one_pixel_is_found_there():
    acmix = module(kernel_att=3, position=False)
    x = torch.zeros(1, 8, 6, 6)
    x[0, :, 3, 4] = 1.0  # right below the query
    x[0, :, 2, 4] = -1.0
    torch.nn.init.constant_(acmix.conv1.weight, -5.0)
    torch.nn.init.constant_(acmix.conv2.weight, 5.0)
    torch.nn.init.zeros_(acmix.conv1.bias)
    torch.nn.init.zeros_(acmix.conv2.bias)
    look = look_at(acmix, x, (60, 60), (25.0, 41.0))
    assert np.unravel_index(np.nanargmax(look.ratio), look.ratio.shape) == (3, 4)
    assert look.ratio[3, 4] == pytest.approx(9, rel=1e-3)
    assert np.isfinite(look.ratio).sum() == 9


def test_heads_that_share_a_window_between_them_select(monkeypatch):
    acmix = module(kernel_att=3)
    weights = torch.zeros(1, 2, 9, 6, 6)
    weights[:, 0, 0] = weights[:, 1, 8] = 1.0  # each head looks at one pixel
    monkeypatch.setattr(acmix, "attention_weights", lambda x: weights)
    assert look_at(acmix, torch.zeros(1, 8, 6, 6), (60, 60), (25.0, 41.0)).spread == pytest.approx(1)


def test_a_window_at_the_corner_covers_what_it_reflects_to():
    look = look_at(module(kernel_att=5), torch.randn(1, 8, 6, 6), (60, 60), (0.0, 0.0))
    assert np.isfinite(look.ratio[:3, :3]).all()
    assert np.isnan(look.ratio[3:]).all()


def study(output_dir):
    results = compare(read_study("made_up", output_dir), margin=0.005)
    return results, answer(results)


def test_detections_are_drawn_where_they_differ_most(tmp_path):
    right = {}
    for name, share in (("baseline", 0.5), ("cbam", 0.6)):
        folder = write_run(tmp_path, config_of({"name": name}, 0), share)
        write_matches(folder, len(name), share, images=20)
        kept = read_matches(folder / "matches.npz")
        right[name] = np.bincount(kept.image, kept.tp[:, 0], minlength=20)
    picture = draw_detections(study(tmp_path)[1])
    assert "baseline and of cbam" in picture.alt
    drawn = [int(number) for number in re.findall(r"(\d+)\.png", picture.caption)]
    gain = right["cbam"] - right["baseline"]
    assert gain[drawn[0]] == gain.max() > 0
    assert gain[drawn[-1]] == gain.min() < 0


@pytest.mark.parametrize("lacking", ["matches.npz", "train/args.yaml"])
def test_without_matches_or_images_no_detections_are_drawn(lacking, tmp_path):
    for name in ("baseline", "cbam"):
        folder = write_run(tmp_path, config_of({"name": name}, 0), 0.5)
        write_matches(folder, 0, 0.5)
        (folder / lacking).unlink()
    assert draw_detections(study(tmp_path)[1]) is None


def test_one_missing_image_costs_the_picture_and_no_more(tmp_path, caplog):
    for name, share in (("baseline", 0.2), ("acmix", 0.8)):
        folder = write_run(tmp_path, config_of({"name": name}, 0), share)
        write_matches(folder, len(name), share)
    (folder / "train" / "weights").mkdir()
    model = grafted_yolo("yolo26n.yaml", {"p3": {"name": "acmix", "kernel_att": 3}}).model.eval()
    torch.save({"model": model, "train_args": {"task": "detect"}}, folder / "train" / "weights" / "best.pt")
    for number in range(1, 8):
        (tmp_path / "data" / "images" / "val" / f"{number}.png").unlink()
    results, said = study(tmp_path)
    assert draw_detections(said) is None
    assert draw_windows(results, said) is None
    assert re.search(r"the detections are not drawn: missing images: \d, such as .*\.png", caplog.text)
    assert "the windows are not drawn: " in caplog.text


def test_equal_detections_have_no_difference_to_draw(tmp_path):
    for name in ("baseline", "cbam"):
        write_matches(write_run(tmp_path, config_of({"name": name}, 0), 0.5), 0, 0.5)
    assert draw_detections(study(tmp_path)[1]) is None


@pytest.mark.parametrize("kind", ["damaged", "hostile"])
def test_a_checkpoint_that_cannot_be_looked_into_costs_the_picture_and_no_more(kind, tmp_path, caplog):
    for name in ("baseline", "acmix"):
        folder = write_run(tmp_path, config_of({"name": name}, 0), 0.5)
        write_matches(folder, 0, 0.5)
    best, marker = folder / "train" / "weights" / "best.pt", tmp_path / "marker"
    best.parent.mkdir()
    torch.save({"model": Call(os.system, f"touch {marker}")}, best)
    if kind == "damaged":
        cut(best)
    assert draw_windows(*study(tmp_path)) is None
    said = "best.pt holds posix.system" if kind == "hostile" else "is not a loadable checkpoint"
    assert said in caplog.text
    assert not marker.exists()


def test_the_windows_of_acmix_are_drawn_in_a_mix(tmp_path):
    """A mix of three ACmix, one of which has no windows, and CBAM."""
    grafts = {
        "p3": [{"name": "acmix", "options": {"kernel_att": 3}}],
        "p4": [{"name": "acmix", "options": {"paths": "convolution"}}],
        "p5": [{"name": "cbam", "options": {}}],
    }
    given = {site: {"name": entry["name"], **entry["options"]} for site, (entry,) in grafts.items()}
    model = grafted_yolo("yolo26n.yaml", given).model.eval()
    for attention, score in (({"name": "baseline"}, 0.5), ({"name": "mix"}, 0.6)):
        config = config_of(attention, 0)
        folder = write_run(tmp_path, config, score)
        write_matches(folder, 0, 0.5)
    record = Record.read(folder)
    record.config["attention"] = {"name": "mix", "grafts": grafts}
    record.write(folder)
    (folder / "train" / "weights").mkdir()
    torch.save({"model": model, "train_args": {"task": "detect"}}, folder / "train" / "weights" / "best.pt")
    picture, variant, spread = draw_windows(*study(tmp_path))
    assert (variant, spread.run, list(spread.sites)) == ("p3: acmix, p4: acmix, p5: cbam", folder.name, ["p3"])
    assert 1 <= spread.sites["p3"].pixels <= spread.sites["p3"].window == 9
    assert picture.title == "Where p3: acmix, p4: acmix, p5: cbam looks"
    assert "of 9 pixels at p3" in picture.caption
    assert " at p4" not in picture.caption

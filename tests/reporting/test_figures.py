"""Which pictures a study is given, and what they say."""

import re

import pytest

from tests.fabricate import config_of, declare, write_run, write_study
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.curves import draw_curves
from yolo26_attention.reporting.figures import draw_all, drawn_variants, look_of, pareto_front, swept
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.style import COLOURS, DARK, follow_page

BASELINE = ({"name": "baseline"}, 0.5)


def acmix(*kernels):
    return {f"k{k}": ({"name": "acmix", "kernel_att": k}, 0.5 + 0.01 * k) for k in kernels}


def results_of(output_dir):
    return compare(read_study("made_up", output_dir), margin=0.005)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("figures")
    write_study(output_dir, {"baseline": BASELINE, "placebo": ({"name": "placebo"}, 0.51), **acmix(3, 5, 7)})
    return results_of(output_dir)


@pytest.fixture(scope="module")
def pictures(results):
    return {picture.key: picture for picture in [*draw_all(results), *draw_curves(results)]}


def test_every_kind_is_drawn_and_told(pictures):
    assert list(pictures) == ["differences", "trade_off", "swept_kernel_att", "sizes", "training", "rates"]
    assert all(picture.svg.startswith(b"<?xml") for picture in pictures.values())
    assert all(len(picture.alt) > 60 and picture.caption for picture in pictures.values())


def test_alternative_text_carries_the_numbers(pictures, results):
    difference = results.variant("acmix kernel_att=7").comparison.difference
    assert f"acmix kernel_att=7 {difference.mean:+.4f} ({difference.low:+.4f}" in pictures["differences"].alt
    assert "at 1.40 times" in pictures["trade_off"].alt
    assert re.search(r"acmix: 0\.5\d+ at 3, 0\.5\d+ at 5, 0\.5\d+ at 7", pictures["swept_kernel_att"].alt)
    assert "0.400 small" in pictures["sizes"].alt
    assert "acmix kernel_att=3 at p3: rate1 0.59, rate2 0.41" in pictures["rates"].alt


def test_same_numbers_same_file(pictures, results):
    assert draw_all(results)[0].svg == pictures["differences"].svg


def test_which_file_is_asked_for_first_changes_neither(results):
    one, other = draw_all(results)[1], draw_all(results)[1]
    assert (one.svg, one.pdf) == (other.pdf, other.svg)[::-1]


def test_a_variant_looks_the_same_everywhere_and_unlike_the_others(results):
    looks = [tuple(look_of(variant, results).values()) for variant in results.variants]
    assert len(set(looks)) == len(looks)
    assert {colour for colour, *_ in looks[1:]} <= set(COLOURS)


def test_a_swept_line_is_told_from_what_does_not_vary(tmp_path):
    runs = []
    for label, attention, swept_values in [
        ("baseline", {"name": "baseline"}, {}),
        ("placebo", {"name": "placebo"}, {}),
        *((f"k{k}", {"name": "acmix", "kernel_att": k}, {"attention.kernel_att": k}) for k in (3, 5)),
    ]:
        folder = write_run(tmp_path, config_of(attention, 0), 0.5)
        runs.append({"run": folder.name, "variant": label, "seed": 0, "swept": swept_values})
    declare(tmp_path, "made_up", runs)
    results = results_of(tmp_path)
    (picture,) = swept(results)
    for label in ("placebo", "k3"):
        assert look_of(results.variant(label), results)["color"].lower() in picture.svg.decode().lower()


def test_svg_follows_the_page_into_the_dark(pictures):
    text = follow_page(pictures["differences"].svg).decode()
    drawing = text[text.index("</style>") :]
    assert not any(colour in drawing for colour in DARK)
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(
    ("points", "front"),
    [
        pytest.param([(1, 0.5), (2, 0.6), (3, 0.55)], [0, 1], id="dominated"),
        pytest.param([(2, 0.6), (1, 0.6)], [1], id="as_good_but_dearer"),
        pytest.param([(1, 0.5), (1, 0.6)], [1], id="as_dear_but_worse"),
        pytest.param([(1, 0.5), (1, 0.5)], [0], id="equal"),
        pytest.param([], [], id="none"),
    ],
)
def test_pareto_front(points, front):
    assert pareto_front(points) == front


def test_without_baseline_latency_or_epochs_fewer_pictures(tmp_path):
    for seed in (0, 1):
        folder = write_run(tmp_path, config_of({"name": "cbam"}, seed), 0.5, latency=None, ap_by_size={})
        (folder / "journal.jsonl").unlink()
    results = results_of(tmp_path)
    assert [*draw_all(results), *draw_curves(results)] == []


def test_two_swept_keys_of_one_last_part_have_a_picture_each(tmp_path):
    runs = []
    for number, (one, other) in enumerate(((0.1, 0.5), (0.2, 0.5), (0.2, 0.6))):
        folder = write_run(tmp_path, config_of({"name": "acmix", "lr": one, "wd": other}, 0), 0.5 + number / 50)
        varied = {"optimizer.decay": one, "optimizer.attention.decay": other}
        runs.append({"run": folder.name, "variant": f"acmix {one} {other}", "seed": 0, "swept": varied})
    declare(tmp_path, "made_up", runs)
    keys = [picture.key for picture in swept(compare(read_study("made_up", tmp_path), margin=0.005))]
    assert keys == ["swept_optimizer_decay", "swept_optimizer_attention_decay"]


def test_sizes_that_no_image_has_are_left_out(pictures):
    assert "large" not in pictures["sizes"].alt.split(":")[1]
    assert "nan" not in pictures["sizes"].alt


def test_more_variants_than_can_be_told_apart_are_capped_and_said(tmp_path):
    write_study(tmp_path, {"baseline": BASELINE, **acmix(*range(3, 33, 2))}, (0,))
    variants, remark = drawn_variants(results_of(tmp_path))
    assert remark == " Drawn are 12 of 16 variants."
    assert [variants[0].label, variants[-1].label] == ["baseline", "acmix kernel_att=31"]
    assert len(variants) == 12

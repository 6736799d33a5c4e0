"""Figures of what networks found: precision over recall, kinds of errors, confusions."""

import re

import numpy as np
import pytest

from tests.fabricate import config_of, write_matches, write_run, write_study
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.evaluation.errors import KINDS, count_errors
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.matched import WORDS, draw_matched
from yolo26_attention.reporting.study import read_study

VARIANTS = {
    "baseline": ({"name": "baseline"}, 0.5),
    "acmix": ({"name": "acmix", "kernel_att": 7}, 0.6),
    "placebo": ({"name": "placebo"}, 0.5),
}


def pictures(output_dir, resamples=20):
    results = compare(read_study("made_up", output_dir), margin=0.005)
    return {picture.key: picture for picture in draw_matched(results, answer(results), resamples)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("matched")
    write_study(output_dir, VARIANTS, matches=True)
    return output_dir


def test_errors_are_means_over_seeds_per_100_objects(study):
    counts = []
    for folder in sorted((study / "runs").glob("acmix*")):
        counted = count_errors(read_matches(folder / "matches.npz"))
        counts.append(100 * counted.counts.sum(axis=0) / counted.objects.sum())
    mean = dict(zip(KINDS, np.mean(counts, axis=0), strict=True))
    said = re.search(r"acmix ([^;]*)[;.]", pictures(study)["errors"].alt)[1]
    assert len(counts) == 3
    assert f"{mean['missed']:.1f} {WORDS['missed']}" in said
    assert f"{mean['class']:.1f} {WORDS['class']}" in said
    assert mean["missed"] > 0


def test_intervals_over_images_need_resamples(study):
    assert "95% intervals over images" in pictures(study)["errors"].caption
    assert "intervals" not in pictures(study, resamples=0)["errors"].caption


def test_curves_name_every_variant_with_its_map50(study):
    assert re.search(
        r"baseline 0\.\d{3}; acmix 0\.\d{3}; placebo of acmix 0\.\d{3}", pictures(study)["precision_recall"].alt
    )


def test_confusions_stand_beside_the_placebos(study):
    assert re.search("class is baseline .*; acmix .*; placebo of acmix ", pictures(study)["confusions"].alt)


def test_titles_of_confusions_are_whole(tmp_path):
    write_study(tmp_path, {name: VARIANTS[name] for name in ("baseline", "acmix")}, matches=True)
    svg = pictures(tmp_path)["confusions"].svg.decode()
    baseline, size = map(float, re.search(r"<!-- baseline -->\n.*translate\(\S+ (\S+)\) scale\((\S+) ", svg).groups())
    assert baseline > 100 * size * 0.75  # the height of its letters above their baseline, in points


def test_classes_without_an_object_are_in_no_mean_share(tmp_path):
    for name in ("baseline", "acmix"):
        write_matches(folder := write_run(tmp_path, config_of({"name": name}, 0), 0.5), 0, 1.0)
    yaml = tmp_path / "data" / "data.yaml"
    yaml.write_text(yaml.read_text().replace("[zero, one]", "[zero, one, two, three]"))
    results = compare(read_study("made_up", tmp_path), 0.005)
    (picture,) = [each for each in draw_matched(results, answer(results), 0) if each.key == "confusions"]
    assert "baseline 1.000" in picture.alt
    assert folder.exists()


def test_every_picture_is_svg_and_pdf_without_type_3_fonts(study):
    for picture in pictures(study).values():
        assert picture.svg.startswith(b"<?xml")
        assert picture.pdf.startswith(b"%PDF")
        assert b"/Type3" not in picture.pdf


def test_runs_on_other_images_are_left_out(study, tmp_path):
    for seed, images in ((0, 8), (1, 9)):
        write_matches(write_run(tmp_path, config_of({"name": "baseline"}, seed), 0.5), seed, 0.5, images=images)
    assert set(pictures(tmp_path)) == {"precision_recall", "errors"}


def test_without_matches_there_is_no_picture(tmp_path):
    write_study(tmp_path, VARIANTS)
    assert pictures(tmp_path) == {}

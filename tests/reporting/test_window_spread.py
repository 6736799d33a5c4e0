"""The answer says where windowed attention selects nothing, with and without the checkpoints that showed it."""

import pytest

from src.report import Options, report
from tests.fabricate import config_of, write_run
from yolo26_attention.files.windows import SiteSpread, Spread, WindowSpreads
from yolo26_attention.reporting.study import StudyError
from yolo26_attention.reporting.window_spread import told


def test_at_every_site():
    said = told("acmix", {"p3": SiteSpread(48.7, 49), "p4": SiteSpread(46.0, 49)})
    assert said == (
        "The attention of acmix averages its window and selects nothing: a pixel spreads it over 49 of the 49 pixels "
        "of its window at p3 and 46 of the 49 pixels of its window at p4, so a plain mean would do the same."
    )


def test_at_some_sites():
    said = told("acmix", {"p3": SiteSpread(30.0, 49), "p4": SiteSpread(46.0, 49)})
    assert said == (
        "The attention of acmix averages its window at p4 and selects nothing there: a pixel spreads it over 46 of the "
        "49 pixels of its window at p4, so a plain mean would do the same (30 of the 49 pixels at p3)."
    )


@pytest.mark.parametrize("sites", [{}, {"p3": SiteSpread(30.0, 49)}])
def test_nothing_is_said_where_attention_selects(sites):
    assert told("acmix", sites) == ""


@pytest.fixture
def study(tmp_path):
    """A study of one pair of seeds, with what an earlier report measured in this run."""
    for seed in range(2):
        for name in ("baseline", "acmix"):
            last = write_run(tmp_path, config_of({"name": name}, seed), 0.5 + 0.01 * seed)
    path = tmp_path / "studies" / "made_up" / "windows.json"
    path.parent.mkdir(parents=True)

    def measured(run):
        WindowSpreads({"acmix": Spread(run, {"p3": SiteSpread(48.7, 49)})}).write(path)
        return report(Options("made_up", str(tmp_path), resamples=0))

    return path, last.name, measured


def test_a_report_without_checkpoints_says_what_was_measured_with_them(study):
    _, run, measured = study
    assert "The attention of acmix averages its window" in measured(run)


def test_a_run_that_does_not_count_says_nothing(study):
    assert "averages its window" not in study[2]("another")


def test_a_damaged_file_is_named_with_the_way_out(study, tmp_path):
    path, run, measured = study
    measured(run)
    path.write_text("{")
    with pytest.raises(StudyError, match=r"windows\.json cannot be read \(.*\); remove it, and make the report again"):
        report(Options("made_up", str(tmp_path), resamples=0))

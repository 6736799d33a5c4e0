"""The command line of a study."""

import pytest

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.request import TimeRequest, parse
from yolo26_attention.study.runs import StudyEntry
from yolo26_attention.study.timing_command import common_latency, timing_arguments


def test_everything_at_once(tmp_path):
    request = parse(
        [
            "kernel_att",
            "plan=true",
            "seeds=0..9",
            "trainer=full",
            "study=mine",
            "hydra/launcher=x",
            "-cd",
            str(tmp_path),
        ]
    )
    assert (request.study.name, request.name, request.study.declared.seeds) == ("kernel_att", "mine", tuple(range(10)))
    assert request.options.tasks == ["plan"]
    assert request.overrides == ("trainer=full",)
    assert request.hydra == (f"hydra.searchpath=[file://{tmp_path}]", "hydra/launcher=x")
    assert request.command[:4] == ["python", "-m", "src.sweep", "kernel_att"]
    assert "plan=true" not in request.command


def test_booleans_are_read_as_everywhere():
    assert not parse(["heads", "retry=false"]).options.retry
    assert parse(["heads", "retry=yes"]).options.retry


def test_timing_needs_the_name_and_what_says_how_and_where():
    given = ["elsewhere/mine.yaml", "timing=true", "latency.backend=openvino", "output_dir=x", "data.yaml=a.yaml"]
    assert parse(given) == TimeRequest("mine", tuple(given[2:]), ())
    assert parse(["heads", "study=other", "timing=true", "trust=true"]) == TimeRequest("other", ("trust=true",), ())


def test_study_is_timed_at_its_end_with_its_own_options(tmp_path):
    given = ["latency.seconds=5", "trainer=full", "data=coco", "data.yaml=a", "output_dir=x", "study=mine"]
    request = parse(["heads", *given, "-cd", str(tmp_path)])
    assert not request.timed_by_itself
    arguments = timing_arguments(request)
    folder = f"hydra.searchpath=[file://{tmp_path}]"
    assert arguments == ["mine", "timing=true", folder, "latency.seconds=5", "output_dir=x"]
    assert parse(arguments) == TimeRequest("mine", ("latency.seconds=5", "output_dir=x"), (folder,))


@pytest.mark.parametrize(
    "option", ["latency=default", "latency=disabled", "latency.enabled=false", "objectives=[latency_ratio]"]
)
def test_study_that_says_how_its_runs_are_timed_is_taken_at_its_word(option):
    assert parse(["heads", option]).timed_by_itself


def test_latency_in_the_study_file_is_that_of_each_run(tmp_path):
    content = "question: q\nseeds: [0]\nvariants:\n  a: {attention: baseline}\n  b: {attention: se}\n"
    path = tmp_path / "own.yaml"
    path.write_text(content)
    assert not parse([str(path)]).timed_by_itself
    path.write_text(content + "common: {latency: default}\n")
    assert parse([str(path)]).timed_by_itself


def test_latency_options_that_all_runs_share_are_those_of_the_study():
    shared = ["latency.seconds=5", "latency.enabled=false", "trainer=full"]
    entries = [StudyEntry("a", "a", 0, [*shared, "latency.batch=2"]), StudyEntry("b", "b", 0, shared)]
    assert common_latency(entries) == ["latency.seconds=5"]
    assert common_latency([]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], r"name one study: acmix_paths", id="none"),
        pytest.param(["heads", "kernel_att"], r"name one study", id="two"),
        pytest.param(["heads", "plan=maybe"], r"plan=maybe is not true or false", id="flag"),
        pytest.param(["heads", "plan=true", "status=true"], r"plan and status at once", id="flags"),
        pytest.param(["heads", "timing=true", "plan=true"], r"plan and timing at once", id="timing_and_plan"),
        pytest.param(["heads", "timing=true", "trainer=full"], r"trainer=full has no effect", id="timing_trains"),
        pytest.param(["heads", "timing=true", "seeds=0"], r"seeds=0 has no effect", id="timing_seeds"),
        pytest.param(["heads", "timing=true", "pilot=2"], r"pilot=2 has no effect", id="timing_pilot"),
        pytest.param(["heads", "timing=true", "retry=true"], r"retry=true has no effect", id="timing_retry"),
        pytest.param(["heads", "plan=true", "pilot=2"], r"pilot=2 has no effect with plan=true", id="plan_pilot"),
        pytest.param(["heads", "plan=true", "retry=true"], r"retry=true has no effect with plan", id="plan_retry"),
        pytest.param(["heads", "status=true", "pilot=2"], r"pilot=2 has no effect with status", id="status_pilot"),
        pytest.param(["heads", "wandb=true", "retry=true"], r"retry=true has no effect with wandb", id="wandb_retry"),
        pytest.param(["heads", "timing=true", "latency=disabled"], r"latency=disabled: timing=true", id="timing_off"),
        pytest.param(["heads", "pilot=1"], r"pilot=1 is below 2", id="small_pilot"),
        pytest.param(["heads", "pilot=9"], r"pilot=9: give a number .* from 2 to 3", id="large_pilot"),
        pytest.param(["heads", "pilot=x"], r"pilot=x is not a whole number", id="pilot"),
        pytest.param(["heads", "seed=1"], r"write seeds=1", id="seed"),
        pytest.param(["heads", "model=yolo26n,yolo26s"], r"several values are variants", id="sweep"),
        pytest.param(["heads", "a=[1"], r"a=\[1|mismatched|no viable", id="grammar"),
        pytest.param(["heads", "-cd", "/no/such"], r"-cd /no/such: give a folder", id="folder"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse(arguments)

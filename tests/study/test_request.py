"""The command line of a study."""

import pytest

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.request import parse


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], r"name one study: acmix_paths", id="none"),
        pytest.param(["heads", "kernel_att"], r"name one study", id="two"),
        pytest.param(["heads", "plan=maybe"], r"plan=maybe is not true or false", id="flag"),
        pytest.param(["heads", "plan=true", "status=true"], r"plan and status at once", id="flags"),
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

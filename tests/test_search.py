"""Optuna's search through the command line, stored and continued."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_search_over_two_objectives_goes_on_where_it_stopped(tmp_path):
    optuna = pytest.importorskip("optuna")
    small = [option for option in TINY if option != "latency=disabled"]
    command = [
        *(sys.executable, "-m", "src.train", "-m", "hydra/sweeper=optuna", "attention=acmix", "study=search"),
        *("attention.heads=choice(1,2,5)", "attention.kernel_att=choice(3,5,7)", "latency.seconds=0.2"),
        *(*small, f"output_dir={tmp_path}"),
    ]
    for trials in (3, 2):
        subprocess.run([*command, f"hydra.sweeper.n_trials={trials}"], cwd=ROOT, check=True, capture_output=True)
    search = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/optuna.db")
    assert [direction.name for direction in search.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert len(search.trials) == 5
    # heads=5 divides no site's channels: such a trial fails, and the search goes on.
    assert {trial.params["attention.heads"] == 5 for trial in search.trials if trial.state.name == "FAIL"} <= {True}
    complete = [trial for trial in search.trials if trial.state.name == "COMPLETE"]
    assert complete
    assert all(trial.values[1] > 0 for trial in complete)

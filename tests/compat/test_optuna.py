"""The private parts of Optuna do what the library uses them for."""

import optuna
from optuna.distributions import IntDistribution

from yolo26_attention.compat.optuna import running_trial


def test_a_trial_that_another_process_began_is_taken_up_and_told():
    study = optuna.create_study()
    asked = study.ask({"a": IntDistribution(0, 9)})
    (begun,) = study.get_trials(deepcopy=False)
    again = running_trial(study, begun, {"a": IntDistribution(0, 9), "b": IntDistribution(5, 5)})
    assert again.params == {**asked.params, "b": 5}
    again.set_constraint("c", 1.0)
    study.tell(again, 0.5)
    (told,) = study.trials
    assert (told.number, told.state.name, told.values, told.constraints) == (0, "COMPLETE", [0.5], {"c": 1.0})

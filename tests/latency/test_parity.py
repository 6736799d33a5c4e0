"""A network that computes something else is refused before it is timed."""

from pathlib import Path

import pytest
import torch

from src.latency.backends import Deployed
from src.latency.parity import ParityError, check_parity


@pytest.fixture(scope="module")
def x():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def exported(model, change):
    """An exported network whose predictions differ from the network's as `change` says."""

    def network(x):
        with torch.no_grad():
            answer = model(x)[0].clone()
        return change(answer)

    return Deployed(network, Path("model.onnx"))


def plus(row, amount):
    def change(answer):
        answer[:, row] += amount
        return answer

    return change


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        pytest.param(plus(0, 0.032), 0.0005, id="box"),
        pytest.param(plus(4, 0.0005), 0.0005, id="score"),
    ],
)
def test_small_difference_is_reported(change, difference, stock, x):
    found = check_parity(exported(stock, change), stock, "onnxruntime", "fp32", [x], None)
    assert found == {"largest_difference": pytest.approx(difference, rel=0.05)}


@pytest.mark.parametrize("change", [pytest.param(plus(0, 0.128), id="box"), pytest.param(plus(4, 0.002), id="score")])
def test_large_difference_is_refused(change, stock, x):
    with pytest.raises(ParityError, match=r"onnxruntime: the deployed network differs from PyTorch by 0.002"):
        check_parity(exported(stock, change), stock, "onnxruntime", "fp32", [x], None)


def test_map_is_compared(stock, x):
    same = exported(stock, lambda answer: answer)

    def validate(found):
        """mAP in PyTorch is 0.5."""
        return lambda network: found if network is same.network else 0.5

    found = check_parity(same, stock, "onnx", "fp32", [x], validate(0.5009))
    assert (found["map50_95"], found["pytorch_map50_95"]) == (0.5009, 0.5)
    with pytest.raises(ParityError, match=r"mAP50-95 of the exported network is 0.4980, in PyTorch 0.5000"):
        check_parity(same, stock, "onnx", "fp32", [x], validate(0.498))


def test_eager_is_not_compared_with_itself(stock, x):
    assert check_parity(Deployed(stock), stock, "eager", "fp32", [x], None) is None

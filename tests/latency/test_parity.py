"""A network that computes something else is refused before it is timed."""

import copy
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from yolo26_attention.files.latency import Parity
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.parity import ParityError, check_parity
from yolo26_attention.latency.text import _parity


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
    assert found == Parity(pytest.approx(difference, rel=0.05))


@pytest.mark.parametrize(("amount", "refused"), [(0.00095, False), (0.00105, True)])
def test_limit_is_where_it_is_said_to_be(amount, refused, stock, x):
    with pytest.raises(ParityError) if refused else nullcontext():
        check_parity(exported(stock, plus(4, amount)), stock, "onnxruntime", "fp32", [x], None)


@pytest.mark.parametrize("change", [pytest.param(plus(0, 0.128), id="box"), pytest.param(plus(4, 0.002), id="score")])
def test_large_difference_is_refused(change, stock, x):
    with pytest.raises(ParityError, match=r"onnxruntime: the deployed network differs from PyTorch by 0.002"):
        check_parity(exported(stock, change), stock, "onnxruntime", "fp32", [x], None)


def at(image, value):
    """Whatever the network answers, with one value in the answer to one image."""
    count = iter(range(10))

    def change(answer):
        if next(count) == image:
            answer[0, 4, 3] = value
        return answer

    return change


@pytest.mark.parametrize("value", [pytest.param(float("nan"), id="nan"), pytest.param(float("inf"), id="inf")])
@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize(
    ("backend", "precision"),
    [("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("eager", "bf16"), ("compiled", "fp16")],
)
def test_what_is_not_finite_is_refused_in_every_precision_and_on_every_image(
    backend, precision, image, value, stock, x
):
    with pytest.raises(ParityError, match=r"the deployed network outputs 1 of \d+ values as NaN or infinite"):
        check_parity(exported(stock, at(image, value)), stock, backend, precision, [x, x], None)


@pytest.mark.parametrize(("backend", "precision"), [("eager", "fp32"), ("onnxruntime", "fp32"), ("eager", "bf16")])
def test_network_that_is_not_finite_in_pytorch_is_refused(backend, precision, stock, x):
    broken = copy.deepcopy(stock)
    with torch.no_grad():
        broken.model[0].conv.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ParityError, match=r"the network in PyTorch outputs \d+ of \d+ values as NaN"):
        check_parity(exported(broken, lambda answer: answer), broken, backend, precision, [x], None)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda answer: answer[..., :1], id="fewer-anchors"),
        pytest.param(lambda answer: answer[:, :5], id="fewer-classes"),
        pytest.param(lambda answer: answer[..., :0], id="none"),
    ],
)
def test_predictions_of_another_shape_are_refused(change, stock, x):
    with pytest.raises(ParityError, match=r"predictions of \(1, \d+, \d+\), PyTorch of \(1, 7, 84\)"):
        check_parity(exported(stock, change), stock, "onnxruntime", "fp16", [x], None)


def test_map_that_is_not_a_number_is_refused(stock, x):
    same = exported(stock, lambda answer: answer)
    for found, expected in ((float("nan"), 0.5), (0.5, float("nan")), (float("nan"),) * 2):
        with pytest.raises(ParityError, match=r"mAP50-95 of the exported network is"):
            check_parity(
                same,
                stock,
                "onnx",
                "fp16",
                [x],
                lambda network, found=found, expected=expected: found if network is same.network else expected,
            )


def test_map_of_nothing_found_on_both_sides_is_said_to_say_nothing():
    parity = Parity(1e-5, 0.0, 0.0)
    assert _parity(parity).endswith("mAP50-95 0.0000, in PyTorch 0.0000, which says nothing")
    assert _parity(Parity(1e-5, 0.5, 0.5)).endswith("mAP50-95 0.5000, in PyTorch 0.5000")


def test_map_is_compared(stock, x):
    same = exported(stock, lambda answer: answer)

    def validate(found):
        """mAP in PyTorch is 0.5."""
        return lambda network: found if network is same.network else 0.5

    found = check_parity(same, stock, "onnx", "fp32", [x], validate(0.5009))
    assert (found.map50_95, found.pytorch_map50_95) == (0.5009, 0.5)
    with pytest.raises(ParityError, match=r"mAP50-95 of the exported network is 0.4980, in PyTorch 0.5000"):
        check_parity(same, stock, "onnx", "fp32", [x], validate(0.498))


def test_map_may_differ_by_more_in_half_precision(stock, x):
    same = exported(stock, lambda answer: answer)

    def validate(network):
        return 0.497 if network is same.network else 0.5

    assert check_parity(same, stock, "onnx", "fp16", [x], validate).map50_95 == 0.497
    with pytest.raises(ParityError, match=r"more than 0.001 apart"):
        check_parity(same, stock, "onnx", "fp32", [x], validate)


def test_attention_that_overflows_is_named_and_not_timed(stock, grafted, x):
    broken = copy.deepcopy(grafted)
    with torch.no_grad():
        broken.model[broken.grafted_sites["p3"]].attention.rate1.fill_(1e6)  # finite in float32
    deployed = exported(broken, at(0, float("inf")))
    with pytest.raises(ParityError, match=r"as NaN or infinite on a validation image, made by the attention at p3"):
        check_parity(deployed, broken, "eager", "fp16", [x], None)


def test_eager_is_not_compared_with_itself(stock, x):
    def network(x):
        with torch.no_grad():
            return stock(x)

    assert check_parity(Deployed(network), stock, "eager", "fp32", [x], None) is None

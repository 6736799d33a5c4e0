"""window_attention against its literal definition, for every implementation that runs on a CPU."""

import logging
from types import SimpleNamespace

import pytest
import torch

from yolo26_attention.attention import window, window_batched, window_cache, window_tiled, window_whole
from yolo26_attention.attention.window import reflect_pad, window_attention
from yolo26_attention.attention.window_border import fold_reflection
from yolo26_attention.compat.pytorch import FakeTensorMode

from .reference import bounce, windowed

CPU = ("tiled", "shifted")
# How "tiled" computes a map: as a whole, or in tiles, strip by strip or all at once.
FORMS = ("whole", "strips", "batched", "shifted")

# height, width, heads, window, stride, dilation
CASES = [
    pytest.param(16, 16, 4, 7, 1, 1, id="square"),
    pytest.param(11, 18, 2, 7, 1, 1, id="not-square"),
    pytest.param(13, 9, 1, 5, 1, 1, id="odd-one-head"),
    pytest.param(7, 21, 8, 3, 1, 1, id="eight-heads-window-3"),
    pytest.param(12, 20, 2, 9, 1, 1, id="window-9"),
    pytest.param(6, 7, 2, 1, 1, 1, id="window-1"),
    pytest.param(1, 1, 2, 7, 1, 1, id="one-pixel"),
    pytest.param(2, 3, 2, 7, 1, 1, id="smaller-than-window"),
    pytest.param(1, 9, 2, 5, 1, 1, id="one-row"),
    pytest.param(9, 2, 2, 7, 2, 1, id="two-columns-stride-2"),
    pytest.param(12, 10, 4, 7, 2, 1, id="stride-2"),
    pytest.param(13, 9, 2, 3, 2, 1, id="stride-2-odd"),
    pytest.param(14, 11, 2, 3, 3, 1, id="stride-3"),
    pytest.param(15, 12, 2, 3, 1, 2, id="dilation-2"),
    pytest.param(10, 13, 2, 5, 1, 3, id="dilation-3"),
    pytest.param(12, 13, 2, 3, 2, 2, id="stride-2-dilation-2"),
    pytest.param(12, 13, 2, 3, 2, 3, id="stride-2-dilation-3"),
    pytest.param(17, 13, 2, 3, 4, 2, id="stride-4-dilation-2"),
    pytest.param(3, 2, 1, 5, 1, 4, id="dilation-larger-than-map"),
]


def maps(height, width, stride=1, channels=16, value_channels=16, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    rows, columns = -(-height // stride), -(-width // stride)
    shapes = [
        (batch, channels, rows, columns),
        (batch, channels, height, width),
        (batch, value_channels, height, width),
    ]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def gradients(out, inputs):
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)
    return torch.autograd.grad(out, inputs, upstream)


@pytest.fixture
def implementation_of(monkeypatch):
    """Has "tiled" compute every map in one form; returns the name of the implementation to ask for."""

    def choose(form):
        if form == "shifted":
            return form
        monkeypatch.setattr(window_tiled, "whole_is_cheaper", lambda *_: form == "whole")
        if form == "batched":
            monkeypatch.setattr(window_tiled, "_forward", window_batched.forward)
            monkeypatch.setattr(window_tiled, "_backward", window_batched.backward)
        return "tiled"

    return choose


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("height", "width", "heads", "side", "stride", "dilation"), CASES)
def test_equals_definition(height, width, heads, side, stride, dilation, form, implementation_of):
    implementation = implementation_of(form)
    inputs = maps(height, width, stride)
    expected = windowed(*inputs, heads, side, stride, dilation)
    options = {"heads": heads, "window": side, "stride": stride, "dilation": dilation}
    out = window_attention(*inputs, **options, implementation=implementation)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for got, wanted in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("implementation", CPU)
def test_value_channels_differ(implementation):
    inputs = maps(9, 10, channels=8, value_channels=12)
    expected = windowed(*inputs, 4, 5, 1, 1)
    out = window_attention(*inputs, heads=4, window=5, implementation=implementation)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for got, wanted in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("implementation", CPU)
def test_layout_does_not_matter(implementation):
    inputs = maps(9, 10)
    out = window_attention(*inputs, heads=4, window=5, implementation=implementation)
    last = [x.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for x in inputs]
    out_last = window_attention(*last, heads=4, window=5, implementation=implementation)
    torch.testing.assert_close(out, out_last, rtol=0, atol=1e-13)
    for got, wanted in zip(gradients(out_last, last), gradients(out, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("height", "width", "side", "stride", "dilation"),
    [
        pytest.param(3, 4, 3, 1, 1, id="plain"),
        pytest.param(2, 2, 5, 1, 1, id="smaller-than-window"),
        pytest.param(3, 5, 3, 2, 1, id="stride"),
        pytest.param(3, 4, 3, 1, 2, id="dilation"),
    ],
)
@pytest.mark.parametrize("form", ["whole", "strips"])
def test_tiled_gradcheck(height, width, side, stride, dilation, form, implementation_of):
    implementation_of(form)
    inputs = maps(height, width, stride, channels=4, value_channels=4, batch=1)
    options = {"heads": 2, "window": side, "stride": stride, "dilation": dilation}
    assert torch.autograd.gradcheck(
        lambda q, k, v: window_attention(q, k, v, **options, implementation="tiled"), inputs
    )


def relative_error(got, wanted):
    return ((got.double() - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_low_precision(dtype, form, implementation_of):
    implementation = implementation_of(form)
    low = [x.detach().to(dtype).requires_grad_() for x in maps(12, 18)]
    exact = [x.detach().double().requires_grad_() for x in low]
    options = {"heads": 2, "window": 7, "stride": 1, "dilation": 1}
    truth = windowed(*exact, **options)
    eager = windowed(*low, **options)
    out = window_attention(*low, **options, implementation=implementation)
    assert out.dtype == dtype
    truths, eagers, outs = ([y, *gradients(y, x)] for y, x in ((truth, exact), (eager, low), (out, low)))
    # Floor: one rounding of each result.
    errors = [relative_error(got, wanted) for got, wanted in zip(outs, truths, strict=True)]
    allowed = [
        2 * relative_error(got, wanted) + torch.finfo(dtype).eps for got, wanted in zip(eagers, truths, strict=True)
    ]
    assert all(error <= bound for error, bound in zip(errors, allowed, strict=True)), (errors, allowed)


@pytest.mark.parametrize("form", FORMS)
def test_backward_is_repeatable(form, implementation_of):
    implementation = implementation_of(form)
    inputs = maps(20, 23, dtype=torch.float32)
    first, second = (
        gradients(window_attention(*inputs, heads=2, window=7, implementation=implementation), inputs) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_keeps_no_windows():
    inputs = maps(24, 24, channels=32, value_channels=32, dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        window_attention(*inputs, heads=4, window=7, implementation="tiled")
    kept = sum(x.numel() for x in saved)
    assert kept <= 4 * inputs[0].numel()


@pytest.mark.parametrize("form", ["strips", "batched"])
def test_tiles_give_the_same_in_any_form(form, implementation_of):
    inputs = maps(30, 41, dtype=torch.float64)
    expected = windowed(*inputs, 2, 7, 1, 1)
    out = window_attention(*inputs, heads=2, window=7, implementation=implementation_of(form))
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for got, wanted in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "whole"), [pytest.param(side, side <= 16, id=f"{side}x{side}") for side in (4, 8, 10, 16, 20, 40)]
)
def test_a_small_map_is_one_call(side, whole):
    q, k, v = (x.detach().float() for x in maps(side, side))
    with torch.profiler.profile() as profiled:
        window_attention(q, k, v, heads=2, window=7, implementation="tiled")
    calls = sum(event.name == "aten::scaled_dot_product_attention" for event in profiled.events())
    assert (calls == 1) == (whole or side == 10)
    assert window_tiled.whole_is_cheaper((side, side), 7, 1, 1, window_tiled.FORWARD_WEIGHT) == whole


def test_a_pixel_that_the_border_repeats_counts_twice():
    mask = window_whole.repetition_mask((1, 3), 3, 1, 1, torch.zeros(()))
    times = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
    assert torch.equal(mask, (3 * times).log())  # all three rows of the window are the only row of the map


def test_a_large_batch_gets_the_gradients_of_its_parts(monkeypatch):
    inputs = maps(6, 5, batch=5)
    options = {"heads": 2, "window": 7, "implementation": "tiled"}
    expected = gradients(window_attention(*inputs, **options), inputs)
    monkeypatch.setattr(window_whole, "MOST_WEIGHTS", 2 * 2 * 30 * 30)  # two samples at a time
    parts = gradients(window_attention(*inputs, **options), inputs)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-14) for a, b in zip(parts, expected, strict=True))


def test_masks_and_indices_are_made_once(monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())
    made = []
    monkeypatch.setattr(window_whole, "repetitions", lambda *a, of=window_whole.repetitions: made.append(a) or of(*a))
    inputs = maps(6, 5)
    with torch.inference_mode():
        window_attention(*(x.detach() for x in inputs), heads=2, window=7)
    for _ in range(2):
        gradients(window_attention(*inputs, heads=2, window=7), inputs)
    assert len(made) == 2  # one for each axis
    window_attention(*(x.float() for x in inputs), heads=2, window=7)
    assert len(made) == 4


@pytest.mark.parametrize("dilation", [1, 4, 5])
def test_a_network_with_dilation_makes_its_masks_and_indices_once(dilation, monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())

    def forward_and_backward():
        with window_cache.noted_constants() as used:
            for side in (80, 40, 20):
                inputs = maps(side, side)
                gradients(window_attention(*inputs, heads=2, window=7, dilation=dilation), inputs)
        return used

    first, second = forward_and_backward(), forward_and_backward()
    assert len(first) == len(second) > 0
    assert all(one is again for one, again in zip(first, second, strict=True))


def test_noted_constants_are_those_that_are_made_and_those_that_are_kept(monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())
    monkeypatch.setattr(window_cache, "MOST", 1)
    like = torch.zeros(1)
    with window_cache.noted_constants() as used:
        for key in (1, 1, 2):
            window_cache.constant(key, like, lambda key=key: torch.full((1,), key))
    assert [int(one) for one in used] == [1, 1, 2]
    assert len(window_cache._kept) == 1
    window_cache.constant(2, like, lambda: pytest.fail("it was kept"))
    assert len(used) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nothing_that_a_cuda_graph_computes_is_kept(monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())
    like = torch.zeros(1, device="cuda")
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        window_cache.constant(1, like, lambda: torch.ones(1, device="cuda"))
    assert not window_cache._kept


def test_kept_constants_are_few(monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())
    monkeypatch.setattr(window_cache, "MOST", 2)
    for size in range(3, 7):
        window_attention(*maps(size, size), heads=2, window=3)
    assert len(window_cache._kept) == 2


def test_a_fake_tensor_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(window_cache, "_kept", type(window_cache._kept)())
    with FakeTensorMode():
        window_attention(*(torch.empty(1, 8, 6, 6) for _ in range(3)), heads=2, window=3)
    assert not window_cache._kept


def test_inputs_stay_as_they_are():
    inputs = maps(9, 10)
    before = [x.detach().clone() for x in inputs]
    out = window_attention(*inputs, heads=4, window=5)
    gradients(out, inputs)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2, 7])
def test_reflect_pad(side, padding):
    x = torch.arange(side * 3.0).reshape(1, 1, side, 3)
    rows = [bounce(i, side) for i in range(-padding, side + padding)]
    columns = [bounce(j, 3) for j in range(-padding, 3 + padding)]
    padded = reflect_pad(x, padding)
    assert torch.equal(padded, x[..., rows, :][..., columns])
    assert torch.equal(fold_reflection(padded, 0), padded)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2, 7])
def test_fold_reflection_is_the_adjoint(side, padding):
    x = torch.randn(1, 1, side, 3, dtype=torch.float64, requires_grad=True)
    padded = reflect_pad(x, padding)
    grad = torch.randn_like(padded)
    torch.testing.assert_close(fold_reflection(grad, padding), torch.autograd.grad(padded, x, grad)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"window": 4}, "window=4 is not an odd number.*try 5", id="even-window"),
        pytest.param({"window": -1}, "window=-1", id="negative-window"),
        pytest.param({"heads": 3}, "heads=3 does not divide the 16 channels", id="heads"),
        pytest.param({"stride": 0}, "stride=0", id="stride"),
        pytest.param({"dilation": 0}, "dilation=0", id="dilation"),
        pytest.param({"stride": 2}, r"needs \(2, 16, 4, 4\)", id="query-size"),
        pytest.param({"implementation": "unfold"}, "unknown; try auto, triton", id="implementation"),
    ],
)
def test_rejects(change, message):
    with pytest.raises(ValueError, match=message):
        window_attention(*maps(8, 8), **{"heads": 4, "window": 3, **change})


@pytest.mark.usefixtures("unchecked")
def test_rejects_other_maps():
    q, k, v = maps(8, 8)
    with pytest.raises(ValueError, match="v is"):
        window_attention(q, k, v[..., 1:], heads=4, window=3)
    with pytest.raises(ValueError, match="dtype"):
        window_attention(q, k, v.float(), heads=4, window=3)


def test_forced_implementation_that_cannot_run(monkeypatch):
    monkeypatch.setattr(window._module("shifted"), "can_run", lambda *arguments: "it rains")
    with pytest.raises(ValueError, match=r"cannot run: it rains; try .*tiled"):
        window_attention(*maps(8, 8), heads=4, window=3, implementation="shifted")


def test_triton_without_a_device(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"'triton' cannot run: .*; try tiled or shifted"):
        window_attention(*maps(8, 8), heads=4, window=3, implementation="triton")


def test_choice_is_logged_once(caplog):
    window._log_once.cache_clear()
    with caplog.at_level(logging.DEBUG, logger="yolo26_attention.attention.window"):
        window_attention(*maps(8, 8), heads=4, window=3)
        window_attention(*maps(8, 8), heads=4, window=3)
        window_attention(*maps(8, 8, dtype=torch.float32), heads=4, window=3)
    assert [record.getMessage() for record in caplog.records] == [
        "windowed attention on cpu in torch.float64: tiled",
        "windowed attention on cpu in torch.float32: tiled",
    ]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("most", "way_out"),
    [
        pytest.param(128, "attention.heads=6 avoids it", id="more-heads"),
        pytest.param(0, "attention.implementation=tiled asks for it without this warning", id="nothing"),
    ],
)
def test_a_fallback_on_cuda_is_said_once_with_a_way_out(most, way_out, caplog, monkeypatch):
    def too_many(q, k, v, heads, *_):
        return None if k.shape[1] // heads <= most else f"a head may have {most} channels"

    kernel = SimpleNamespace(can_run=too_many, run=None)
    tiled = SimpleNamespace(can_run=lambda *_: None, run=None)
    monkeypatch.setattr(window, "_module", lambda name: kernel if name == "triton" else tiled)
    maps_on_cuda = [SimpleNamespace(device=torch.device("cuda"), dtype=torch.float16, shape=(1, 768, 8, 8))] * 3
    window._warn_once.cache_clear()
    for _ in range(2):
        window._choose("auto", *maps_on_cuda, 4, 7, 1, 1)
        window._choose("tiled", *maps_on_cuda, 4, 7, 1, 1)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [
        "windowed attention on cuda runs as tiled, not as the Triton kernel: "
        f"a head may have {most} channels; {way_out}"
    ]

"""Options that have an effect are taken; tests/errors.txt has those that are refused."""

import subprocess
import sys
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from tests.conftest import CONF
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import LatencyConfig, TrainerConfig, TunedOptimizerConfig
from yolo26_attention.plan.checks import check
from yolo26_attention.plan.training_options import check_training_options
from yolo26_attention.plan.values import RANGES, check_values

NUMBERS = {"trainer": TrainerConfig, "optimizer": TunedOptimizerConfig, "latency": LatencyConfig}


@pytest.fixture
def refused(tiny):
    """What is said of overrides on a device; None if they are taken."""

    def said(*overrides, device="cpu", **trainer):
        config = tiny(*overrides)
        config = replace(config, trainer=replace(config.trainer, **trainer))
        try:
            check_values(config)
            check_training_options(config, device, check(tiny()).dataset.yaml)
        except ConfigError as error:
            return str(error)
        return None

    return said


@pytest.mark.parametrize("batch", [1, 16, -1, 0.7, 0.01])
def test_a_number_and_a_share_of_a_gpu_are_batches(batch, refused):
    assert refused(f"trainer.batch={batch}", device="cuda") is None


@pytest.mark.parametrize("batch", [0, -2, 1.0, 2.5, -0.5])
def test_nonsense_is_no_batch(batch, refused):
    assert f"trainer.batch={batch} is not a batch size" in refused(device="cuda", batch=batch)


def test_several_gpus_take_equal_parts_of_a_batch(refused):
    assert refused(device="cuda", batch=8) is None
    assert "trainer.batch=9 cannot be divided among 2 GPUs; try 8" in refused_on_two(refused, batch=9)
    assert "but this run is on 2 GPUs" in refused_on_two(refused, batch=-1)
    assert refused_on_two(refused, batch=8) is None


def refused_on_two(refused, **trainer):
    return refused("trainer.device='0,1'", device="cuda", **trainer)


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.cache=ram"],
        ["trainer.cache=true"],
        ["trainer.compile=reduce-overhead"],
        ["trainer.rect=true", "trainer.mosaic=0"],
        ["trainer.save_period=1"],
        ["trainer.time=0.5"],
        ["trainer.patience=3"],
        ["optimizer.warmup_momentum=0.5"],
        ["trainer.degrees=180"],
        ["trainer.warmup_epochs=0"],
        ["seed=2147483648"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_what_has_an_effect_is_taken(overrides, refused):
    assert refused(*overrides) is None


def test_rect_is_not_for_several_gpus(refused):
    assert "trainer.rect=true has no effect on several GPUs" in refused_on_two(refused, batch=8, rect=True, mosaic=0.0)


@pytest.mark.parametrize("mix", ["mosaic", "mixup", "cutmix"])
def test_rect_mixes_no_images(mix, refused):
    said = refused(**{"rect": True, "mosaic": 0.0, mix: 0.5})
    assert said == (
        f"trainer.{mix}=0.5 has no effect with trainer.rect=true; give trainer.{mix}=0, or leave trainer.rect out"
    )


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_bf16_is_for_gpus(device, refused):
    assert refused("trainer.amp=bf16", device="cuda") is None
    said = refused("trainer.amp=bf16", device=device)
    assert said == f"trainer.amp=bf16 is not possible: on {device} there is no such training; leave it out"


def test_bf16_is_for_gpus_that_compute_in_it(refused, monkeypatch):
    for native in (True, False):
        cuda = SimpleNamespace(is_available=lambda: True, is_bf16_supported=lambda including_emulation, it=native: it)
        monkeypatch.setattr("yolo26_attention.plan.training_options.torch", SimpleNamespace(cuda=cuda))
        said = refused("trainer.amp=bf16", device="cuda")
        assert (said is None) == native
    assert "this GPU cannot compute in bfloat16; leave it out" in said


def test_channels_last_is_for_gpus(refused):
    assert refused("trainer.channels_last=true", device="cuda") is None


@pytest.mark.parametrize(
    ("label", "pastes"),
    [("0 0.5 0.5 0.2 0.2\n", False), ("0 0.1 0.1 0.4 0.1 0.4 0.4\n", True)],
    ids=["boxes", "polygons"],
)
def test_copy_paste_is_for_polygons(label, pastes, tiny, tmp_path):
    digits = check(tiny()).dataset.yaml.parent
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        image = min((digits / "images" / split).iterdir())
        (tmp_path / "images" / split / image.name).write_bytes(image.read_bytes())
        (tmp_path / "labels" / split / f"{image.stem}.txt").write_text(label)
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"path: {tmp_path}\ntrain: images/train\nval: images/val\nnames: [a]\n")
    config = tiny("trainer.copy_paste=0.5")
    if pastes:
        check_training_options(config, "cpu", yaml)
    else:
        with pytest.raises(ConfigError, match=r"trainer.copy_paste=0.5 has no effect on labels that are boxes"):
            check_training_options(config, "cpu", yaml)


@pytest.mark.parametrize(
    ("key", "lowest", "highest"),
    [(key.removeprefix("trainer."), *ends) for key, ends in RANGES.items() if key.startswith("trainer.")],
)
def test_ranges_have_their_ends(key, lowest, highest, refused):
    least = f"trainer.{key}={lowest - 1} must be a finite number of at least {lowest}"
    assert refused(**{key: lowest}) is None
    assert refused(**{key: lowest - 1}) == least
    if highest < float("inf"):
        assert refused(**{key: highest}) is None
        assert f"is above {highest}" in refused(**{key: highest + 1})


FLOATS = [
    (group, field.name) for group, schema in NUMBERS.items() for field in fields(schema) if "float" in str(field.type)
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("group", "key"), FLOATS)
def test_every_number_is_finite(group, key, value, tiny):
    config = tiny()
    changed = replace(config, **{group: replace(getattr(config, group), **{key: value})})
    with pytest.raises(ConfigError, match=rf"^{group}\.{key}={value} is not a finite number; .* leave {group}.{key}"):
        check_values(changed)


@pytest.mark.parametrize("key", ["optimizer.attention.lr_factor", "attention.rate1"])
def test_numbers_further_down_are_finite(key, tiny):
    with pytest.raises(ConfigError, match=f"{key}=inf is not a finite number"):
        check_values(tiny("attention=acmix", f"{key}=1e400"))
    with pytest.raises(ConfigError, match=r"placebo.options.rate1=nan is not a finite number"):
        check_values(tiny("attention=placebo", "placebo.options={rate1: nan}"))


@pytest.mark.parametrize("hours", [0, 0.0, -1])
def test_hours_are_more_than_none(hours, refused):
    assert f"trainer.time={hours} must be a finite number above 0" in refused(time=hours)


def test_degrees_and_shear_end_where_an_image_is_turned_over():
    assert RANGES["trainer.degrees"] == (0, 180)
    assert RANGES["trainer.shear"] == (0, 90)


def test_values_are_refused_without_torch_and_before_the_data_are_built(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "src.train", "trainer.epochs=0", f"output_dir={tmp_path}"]
    said = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert said.returncode == 1
    assert "error: trainer.epochs=0 must be at least 1" in imported
    assert "hydra" in imported
    assert not {"torch", "ultralytics"} & imported
    assert not list(tmp_path.iterdir())

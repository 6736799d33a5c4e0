"""Everything of a command that is not there is answered at once."""

import pytest

from tests.conftest import CONF
from yolo26_attention.config.registration import register_configs
from yolo26_attention.config.schema import Config, DescribeConfig, ExportConfig
from yolo26_attention.config.unknown import given, with_others


@pytest.fixture(autouse=True)
def _registered():
    register_configs()


def test_each_argument_of_ultralytics_has_a_line_in_the_order_of_the_command():
    typed = ["epochs=3", "attention=se", "batch=16", "trainer.imgsz=64", "imgsz=640", "trainer.lr0=1"]
    found = with_others("imgsz=640: there is no option imgsz; did you mean trainer.imgsz?", typed, Config)
    assert [line.split(":")[0] for line in found.splitlines()] == ["epochs=3", "batch=16", "imgsz=640", "trainer.lr0=1"]
    assert "batch=16: there is no option batch; did you mean trainer.batch?" in found.splitlines()


def test_options_of_groups_are_told_with_the_keys():
    typed = ["model=yolo26n.pt", "data=coco8.yaml", "epochs=3", "optimizer=SGD", "attention=se,acmx"]
    lines = with_others("epochs=3: there is no option epochs", typed, Config).splitlines()
    assert len(lines) == 5
    assert "model.weights=yolo26n.pt, beside the network that it fits, such as model=yolo26n" in lines[0]
    assert "did you mean data=coco8? a data set of your own is data.yaml=coco8.yaml" in lines[1]
    assert "did you mean sgd?" in lines[3]
    assert "did you mean acmix?" in lines[4]


@pytest.mark.parametrize(
    "right",
    [
        *("attention=acmix,se", "model=yolo11n", "placement.sites=[p3]", "placebo.by=flops", "seed=0,1", "~point"),
        *("+nosuch=1", "hydra/launcher=local", "hydra.verbose=true", "trainer.epochs=range(1,3)", "point=size/se"),
        *("optimizer.momentum=0.9", "attention.grafts={p3: se}", "attention=${nosuch}", "data.imgsz=64"),
    ],
)
def test_what_may_be_right_has_no_line(right):
    assert with_others("seed=x: takes a whole number", ["seed=x", right], Config) == "seed=x: takes a whole number"


def test_options_of_a_module_of_ones_own_are_left_to_hydra(tmp_path):
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "damped.yaml").write_text("name: damped\n")
    typed = ["-cd", str(tmp_path), "attention=damped", "attention.strength=2", "seed=x"]
    assert with_others("seed=x: takes a whole number", typed, Config) == "seed=x: takes a whole number"
    assert len(with_others("seed=x: takes a whole number", typed[2:], Config).splitlines()) == 3


@pytest.mark.parametrize(
    ("schema", "said"),
    [(Config, ["run=a", "layers=true"]), (DescribeConfig, ["run=a"]), (ExportConfig, ["layers=true"])],
)
def test_keys_are_those_of_the_command(schema, said):
    found = with_others("seed=x: takes a whole number", ["run=a", "layers=true", "seed=x"], schema)
    assert [line.split(":")[0] for line in found.splitlines()] == [*said, "seed=x"]


def test_the_options_of_every_group_are_found():
    for file in CONF.glob("*/*.yaml"):
        assert with_others("x", [f"{file.parent.name}={file.stem}"], Config) == "x"


def test_a_key_is_blamed_before_its_group():
    assert given("trainer.epoch", ["trainer.epoch=4", "trainer=full"]) == "trainer.epoch=4"
    assert given("trainer.epoch", ["seed=1", "trainer={}"]) == "trainer={}"
    assert given("attention.grafts.p3", ["attention.grafts={p3: se}"]) == "attention.grafts={p3: se}"

"""The whole configuration space: whatever is asked for builds and runs forward, or is refused in time and in words."""

import re
import time
from collections import Counter
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import CONF, TINY, beside
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.config.schema import SCHEMAS, Config
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.plan.checks import Checker

# The network is out of reach, so an official checkpoint or a download would only be refused for that.
SENSIBLE = {
    "placement.sites": ["[p3]", "[p5,p3]", "[neck]", "[p2]", "[c2psa,sppf]", "[p3,p3]", "[all]"],
    "model.name": ["yolo26n", "yolo26s"],
    "model.weights": ["null"],
    "data.yaml": ["null"],
    "data.train_images": ["1", "16"],
    "data.val_images": ["1", "8"],
    "data.imgsz": ["64"],
    "data.seed": ["0"],
    "trainer.device": ["null", "cpu"],
    "trainer.imgsz": ["32", "64", "640"],
    "latency.imgsz": ["null", "64"],
    "placebo.matches": ["acmix", "cbam", "se"],
    "placebo.options": ["null", "{heads: 8}", "{reduction: 4}"],
    "optimizer.name": ["MuSGD", "SGD", "AdamW", "auto"],
    "objectives": ["[map50_95]", "[map50]", "[map50_95,map50]"],
}
SENSIBLE_OF_TYPE: dict[Any, list[str]] = {
    int: ["1", "2", "3", "4", "5", "7", "8", "16"],
    float: ["0", "0.1", "0.5", "1", "1e-4"],
    bool: ["true", "false"],
    str: ["a", "two_words", "'a b'"],
    list: ["[]", "[1]", "[a]", "[8,16]"],
    dict: ["null", "{}", "{a: 1}"],
}
ABSURD = [
    "0", "-1", "-7", "6", "97", "10001", "1000000000", "99999999999999999999999", "1e9", "1e400", "-0.5", "2.5", "nan",
    "inf", "-inf", "", "null", "???", "x", "'实验'", "\"it's\"", "a/b", "../x", "/no/such/file", "/no/such.yaml",
    "true", "[]", "[1", "[p9]", "[null]", "[[p3]]", "[-1]", "{a: 1}", "{", "${seed}", "${nosuch}", "1,2", "a=b", "!",
    "Ω", "x" * 300, "'nan'", "yolo26_attention.attention.acmix.ACmix", "os.system", "subprocess.Popen",
]  # fmt: skip
NAMES = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in SCHEMAS}
# No answer to a mistake: where it happened, or how to go on.
WAY_OUT = re.compile(
    r"[;?]|\b(try|choose|give|use|leave|write|name|needs?|needed|at least|add|only|install|between|must|keep|correct|"
    r"here|least|has|have|takes|valid|put|pass)\b",
    re.IGNORECASE,
)


def _keys() -> dict[str, Any]:
    """Every option, with its type, in full."""
    found = {}
    for group, schemas in SCHEMAS.items():
        for schema in schemas.values():
            found |= {f"{group}.{key}": kind for key, kind in _leaves(schema)}
    return found | dict(_leaves(Config))


def _leaves(schema: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(schema)
    leaves = []
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind):
            leaves += [(f"{field.name}.{key}", inner) for key, inner in _leaves(kind)]
        elif field.name not in SCHEMAS:
            leaves.append((field.name, kind))
    return leaves


KEYS = {key: kind for key, kind in _keys().items() if key not in {"output_dir", "data.download"}}


def _sensible(key: str, kind: Any) -> list[str]:
    if key in SENSIBLE:
        return SENSIBLE[key]
    if get_origin(kind) is UnionType:
        return [value for part in get_args(kind) for value in _sensible("", part)]
    if kind is NoneType:
        return ["null"]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.name for member in kind]
    return SENSIBLE_OF_TYPE[dict if kind is Any else get_origin(kind) or kind]


@st.composite
def overrides(draw: st.DrawFn) -> list[str]:
    """Some options of some groups: mostly sensible ones, and sometimes one that is not."""
    drawn = {}
    for group in draw(st.sets(st.sampled_from(sorted(SCHEMAS)), max_size=4)):
        # The larger models only take longer.
        drawn[group] = draw(st.sampled_from([name for name in NAMES[group] if group != "model" or name[6] in "ns"]))
    there = [key for key in KEYS if _belongs(key, drawn)]
    for key in draw(st.lists(st.sampled_from(there), max_size=4, unique=True)):
        drawn[key] = draw(st.sampled_from(_sensible(key, KEYS[key])))
    if draw(st.integers(0, 2)) == 0:
        key = draw(st.one_of(st.sampled_from(there), st.sampled_from(sorted(KEYS)), st.sampled_from(sorted(SCHEMAS))))
        drawn[key] = draw(st.sampled_from(ABSURD))
    if draw(st.integers(0, 19)) == 0:
        drawn[draw(st.sampled_from(["nosuch", "attention.head", "+attention.more", "~nosuch", "trainer/epochs"]))] = "1"
    return [f"{key}={value}" for key, value in drawn.items()]


def _belongs(key: str, drawn: dict[str, str]) -> bool:
    """Is it an option of what is picked of its group, as far as that decides."""
    group, _, name = key.partition(".")
    picked = drawn.get(group, "acmix")
    if group == "attention" and picked in SCHEMAS[group]:
        return name in get_type_hints(SCHEMAS[group][picked])
    return True


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What becomes of overrides: "built", or the error that the command line would print."""
    register_configs()
    GlobalHydra.instance().clear()
    folder = tmp_path_factory.mktemp("outputs")
    checker = Checker()

    def found(asked: list[str]) -> str:
        picked = {option.partition("=")[0] for option in asked} & set(SCHEMAS)
        base = [option for option in [*TINY, f"output_dir={folder}"] if option.split(".")[0] not in picked]
        shared = beside(asked, base=base)
        start = time.process_time()
        try:
            with config_errors(asked):
                config = run_config(compose("config", [*shared, *asked]))
            plan = checker.check(config)
        except ConfigError as error:
            assert time.process_time() - start < 10
            return str(error)
        torch.manual_seed(0)
        model = build_stock(config.model.name, len(plan.dataset.names), plan.dataset.channels)
        graft(model, *plan.grafts)
        with torch.inference_mode():
            model.eval()(torch.zeros(1, plan.dataset.channels, 64, 64))
        return "built"

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield found


def _check(asked: list[str], said: str) -> None:
    """The error names an option that was asked for, its value, and a way out."""
    if said == "built":
        return
    pairs = [option.partition("=")[::2] for option in asked]
    assert any(key.lstrip("+~").rpartition(".")[2] in said and _shown(value, said) for key, value in pairs), said
    assert WAY_OUT.search(said), said
    assert "Traceback" not in said


def _shown(value: str, said: str) -> bool:
    plain = value.strip("'\"")
    forms = {plain, _number(plain), plain.replace("${seed}", "0"), plain.replace(": ", ":")}
    return value in {"true", "false", "null", "???", ""} or any(form.lower() in said.lower() for form in forms)


def _number(text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        return text


@settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=overrides())
def test_it_builds_or_is_refused_in_words(asked, outcome):
    _check(asked, outcome(asked))


@pytest.mark.slow
def test_ten_times_as_many(outcome):
    outcomes = Counter()

    @settings(
        max_examples=500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    @given(asked=overrides())
    def draw(asked: list[str]) -> None:
        said = outcome(asked)
        _check(asked, said)
        outcomes["built" if said == "built" else "refused"] += 1

    draw()
    print(dict(outcomes))
    assert min(outcomes["built"], outcomes["refused"]) > 100

"""Every argument of the installed Ultralytics has a key here, or a reason."""

import inspect
import re

import pytest
from omegaconf import OmegaConf
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import DEFAULT_CFG_DICT

from tests.conftest import CONF
from yolo26_attention.config.ultralytics_arguments import KEYS, OTHER_OPTIMIZERS, OTHERWISE, answer, table
from yolo26_attention.plan.values import OPTIMIZERS


def test_every_argument_has_a_key_or_a_reason_and_not_both():
    assert set(KEYS) & set(OTHERWISE) == set()
    assert set(KEYS) | set(OTHERWISE) == set(DEFAULT_CFG_DICT)


def test_every_optimizer_is_offered_or_refused():
    (names,) = re.findall(r"optimizers = (\{.*?\})", inspect.getsource(BaseTrainer.build_optimizer), re.DOTALL)
    assert set(OPTIMIZERS) | set(OTHER_OPTIMIZERS) == set(re.findall(r'"(\w+)"', names))


@pytest.mark.parametrize("name", sorted(KEYS))
def test_the_key_is_there(name, compose_config):
    assert OmegaConf.select(compose_config(), KEYS[name], default="absent") != "absent"


@pytest.mark.parametrize(("key", "part"), [("epochs", "trainer.epochs?"), ("trainer.cos_lr", "optimizer.cos_lr?")])
def test_a_key_of_ultralytics_is_answered_with_ours(key, part):
    assert answer(key) == f"did you mean {part}"


@pytest.mark.parametrize("key", ["trainer.epochs", "attention.more", "nosuch"])
def test_other_keys_have_no_answer(key):
    assert answer(key) is None


def test_the_table_in_the_documents_is_made_from_the_code():
    written = (CONF.parent / "docs" / "arguments.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in written, "write table() of config/ultralytics_arguments.py into docs/arguments.md"

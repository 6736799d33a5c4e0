"""Identity of a run: what is in it, what is not, and that it stays the same."""

import copy
import dataclasses
import json
from dataclasses import replace
from enum import Enum
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import SCHEMAS, Config, PlaceboConfig
from yolo26_attention.plan.identity import defining, differing, identity, identity_content, readable_name
from yolo26_attention.plan.identity_table import ALWAYS, ATTENTION, OPTIMIZER, OUT, PROGRAM, TRAINER, TUNED
from yolo26_attention.plan.identity_v0 import identity_v0

# Runs as they were planned by the version before identities had one: their configuration, folder and identity of then,
# and their identity in version 1. Nothing in that file ever changes.
GOLDEN = json.loads((Path(__file__).parents[1] / "old" / "identities.json").read_text(encoding="utf-8"))
TABLES = {
    "placement": PROGRAM["placement"],
    "placebo": PROGRAM["placebo"],
    "model": PROGRAM["model"],
    "optimizer": {**OPTIMIZER, **TUNED},
    "trainer": TRAINER,
}
SCHEMA = {
    "placement": SCHEMAS["placement"]["sites"],
    "placebo": PlaceboConfig,
    "model": SCHEMAS["model"]["yolo26"],
    "optimizer": SCHEMAS["optimizer"]["tuned"],
    "trainer": SCHEMAS["trainer"]["detection"],
}
# Options whose default is no longer the value in the table, each with that default: runs at it have an identity that
# says so, and runs at the earlier default keep theirs.
CHANGED_DEFAULTS: dict[str, object] = {}


def named(config, data="abc", weights=None):
    return identity(config, data, weights)


@pytest.fixture
def recorded(composed):
    """Compose a configuration as records have it: plain values."""
    return lambda *overrides: composed(*overrides).plain()


def plain(value):
    return value.name if isinstance(value, Enum) else value


def default_of(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return plain(field.default)


def options(schema, table, prefix):
    """Dotted key, default and entry in the table, of every option of a schema; no entry is None twice."""
    for field in dataclasses.fields(schema):
        default, key = default_of(field), f"{prefix}.{field.name}"
        if dataclasses.is_dataclass(default):
            yield from options(type(default), table[field.name], key)
        elif field.name not in {"name", "_target_"} or field.name in table:
            yield key, default, table.get(field.name, "no entry")


def every_option():
    for group, schema in SCHEMA.items():
        yield from options(schema, TABLES[group], group)
    for name, schema in SCHEMAS["attention"].items():
        yield from options(schema, ATTENTION.get(name, {}), f"attention={name}")


OPTIONS = {key: (default, entry) for key, default, entry in every_option()}


def test_every_option_is_in_the_table():
    missing = [key for key, (_, entry) in OPTIONS.items() if entry == "no entry"]
    missing += [
        field.name for field in dataclasses.fields(Config) if field.name not in {*PROGRAM, *SCHEMA, "attention"}
    ]
    assert missing == [], (
        "say in src/yolo26_attention/plan/identity_table.py what part a new option has: its default, ALWAYS or OUT"
    )


def test_every_attention_is_in_the_table():
    assert set(ATTENTION) >= set(SCHEMAS["attention"])


def test_a_changed_default_is_noticed():
    changed = {
        key: (default, entry)
        for key, (default, entry) in OPTIONS.items()
        if entry not in (ALWAYS, OUT) and default != CHANGED_DEFAULTS.get(key, entry)
    }
    assert changed == {}, (
        "(default, value in identity_table.py): leave the table as it is, and list the option in CHANGED_DEFAULTS; "
        "what is trained with the new default is then another run than what was trained with the old one"
    )


def other(value):
    """Another value of the same kind."""
    if value is None:
        return 7
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, "other"] if isinstance(value, list) else f"{value}x"


def with_value(config, key, change):
    changed = copy.deepcopy(config)
    node = changed
    *parents, last = key.split(".")
    for parent in parents:
        node = node[parent]
    node[last] = change(node.get(last))
    return changed


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_each_option_of_a_run_changes_its_identity_or_is_declared_not_to(recorded):
    config = recorded("attention=acmix", "placement=p3")
    out = {key for key, entry in PROGRAM.items() if entry is OUT}
    unexpected = []
    for key in leaves(config):
        group, _, name = key.partition(".")
        by_content = group == "data" or key == "model.weights"
        ignored = group in out or by_content or group == "placebo" or key == "attention._target_"
        ignored = ignored or TABLES.get(group, {}).get(name) is OUT
        changed = named(with_value(config, key, other)) != named(config)
        if changed == ignored:
            unexpected.append(key)
    assert unexpected == []


def test_each_option_of_a_placebo_counts(recorded):
    config = recorded("attention=placebo", "placement=p3", "placebo.options={kernel_att: 5}")
    for key in ("attention.shortcut", "placebo.matches", "placebo.by", "placebo.options.kernel_att"):
        assert named(with_value(config, key, other)) != named(config), key


@pytest.mark.parametrize(
    ("one", "same"),
    [
        pytest.param({"trainer.imgsz": 128}, {"trainer.imgsz": 128.0}, id="whole numbers"),
        pytest.param({"trainer.mosaic": 0}, {"trainer.mosaic": 0.0}, id="nought"),
        pytest.param({"trainer.freeze": 3}, {"trainer.freeze": [0, 1, 2]}, id="the first layers"),
        pytest.param({"placement.sites": ["p4", "p3"]}, {"placement.sites": ["p3", "p4"]}, id="order of sites"),
        pytest.param({"placement.sites": ["p3"]}, {"placement.sites": ["p3", "p3"]}, id="a site twice"),
        pytest.param({"placement.sites": ["p3"]}, {"placement.sites": ("p3",)}, id="tuple"),
        pytest.param({"trainer.steps": 9, "trainer.epochs": 1}, {"trainer.steps": 9, "trainer.epochs": 2}, id="steps"),
        pytest.param({"attention._target_": "src.a.ACmix"}, {"attention._target_": "lib.b.ACmix"}, id="moved"),
    ],
)  # fmt: skip
def test_values_equal_in_meaning_are_one_experiment(one, same, recorded):
    def given(values):
        config = recorded("attention=acmix", "placement=p3")
        for key, value in values.items():
            config = with_value(config, key, lambda _, value=value: value)
        return named(config)

    assert given(one) == given(same)


def test_an_enumeration_and_its_name_are_one_experiment(recorded):
    config = recorded("attention=acmix", "placement=p3", "placement.gate=zero", "attention.paths=attention")
    gate = SCHEMAS["placement"]["sites"].__dataclass_fields__["gate"].type
    paths = SCHEMAS["attention"]["acmix"].__dataclass_fields__["paths"].type
    as_enums = with_value(
        with_value(config, "placement.gate", lambda name: gate[name]), "attention.paths", lambda name: paths[name]
    )
    assert named(as_enums) == named(config)


def test_options_of_a_placebo_at_their_defaults_are_none(recorded):
    config = recorded("attention=placebo", "placement=p3")
    spelt_out = with_value(config, "placebo.options", lambda _: {**ATTENTION["acmix"]})
    assert named(spelt_out) == named(config)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("fraction=1", "fraction=1.0"),
        ("amp=fp32", "amp=false"),
        ("amp=FP32", "amp=false"),
        ("amp=BF16", "amp=bf16"),
    ],
)
def test_two_notations_of_one_training_are_one_run(recorded, one, another):
    first, second = (recorded("attention=acmix", "placement=p3", f"trainer.{given}") for given in (one, another))
    assert json.dumps(first) == json.dumps(second)
    assert named(first) == named(second)


def test_a_record_with_a_fraction_of_1_is_of_a_run_on_all_images(recorded):
    config = recorded("attention=acmix", "placement=p3")
    one, everything = (with_value(config, "trainer.fraction", lambda _, value=value: value) for value in (1, 1.0))
    assert named(one) == named(everything)


def test_a_new_option_at_its_default_changes_nothing(recorded, monkeypatch):
    config = recorded("attention=acmix", "placement=p3")
    for table, group in (
        (TRAINER, "trainer"),
        (ATTENTION["acmix"], "attention"),
        (OPTIMIZER["attention"], "optimizer"),
    ):
        monkeypatch.setitem(table, "new", 0.5)
        key = f"{group}.new" if group != "optimizer" else "optimizer.attention.new"
        assert named(with_value(config, key, lambda _: 0.5)) == named(config)
        assert named(with_value(config, key, lambda _: 0.6)) != named(config)


def test_an_option_that_nobody_entered_counts(recorded):
    config = recorded("attention=acmix", "placement=p3")
    assert named(with_value(config, "trainer.new", lambda _: 0.5)) != named(config)
    assert named({**config, "new": 1}) != named(config)


MINE = {"name": "mine", "_target_": "attentions.mine.Mine", "scale": 2.0, "source": "1"}


def test_a_class_of_ones_own_counts_by_name_class_options_and_source_not_by_its_module(recorded):
    config = recorded("attention=acmix", "placement=p3")

    def mine(**changes):
        return named({**config, "attention": {**MINE, **changes}})

    assert mine(_target_="elsewhere.Mine") == mine()
    for changes in ({"name": "yours"}, {"_target_": "attentions.mine.Other"}, {"scale": 3.0}, {"source": "2"}):
        assert mine(**changes) != mine()
    assert mine(scale=2) != mine()  # which a class may take for something else


def test_a_shipped_class_under_another_name_counts_by_the_options_that_differ(recorded):
    config = recorded("attention=acmix", "placement=p3")
    renamed = {**config, "attention": {**config["attention"], "name": "tuned"}}
    assert identity_content(renamed, "", None)["attention"] == {"name": "tuned", "options": {}, "class": "acmix"}


def test_data_and_weights_count_by_content(recorded):
    config = recorded()
    assert named(config, "abc") != named(config, "abd")
    assert named(config, weights="1") != named(config, weights=None)
    assert named(recorded("data.yaml=/a.yaml"), "abc") == named(recorded("data.yaml=/b.yaml"), "abc")
    assert named(with_value(config, "model.weights", lambda _: "/b.pt"), weights="1") == named(config, weights="1")


def test_one_baseline_serves_every_placement_and_every_treatment_of_the_graft(recorded):
    baseline = named(recorded("attention=baseline"))
    for override in ("placement=p3", "placebo.matches=cbam", "optimizer.attention.lr_factor=0.1"):
        assert named(recorded("attention=baseline", override)) == baseline


def test_what_defines_a_run_of_an_earlier_version_is_complete(recorded):
    config = recorded("attention=acmix", "placement=p3")
    old = copy.deepcopy(config)
    del old["trainer"]["cls_pw"], old["attention"]["position"], old["placement"]["gate"]
    assert defining(old) == defining(config)
    assert "workers" not in defining(config)["trainer"]


def test_an_optimizer_that_chooses_its_own_rate_has_no_momentum(recorded):
    assert "momentum" not in defining(recorded("optimizer=auto"))["optimizer"]


def test_only_what_differs_is_kept():
    table = {"a": 1, "b": OUT, "c": ALWAYS, "d": {"e": None, "f": "x"}}
    assert differing({"a": 1.0, "b": 2, "c": 3.0, "d": {"e": None, "f": "x"}}, table) == {"c": 3}
    assert differing({"a": True, "d": {"e": 0}}, table) == {"a": True, "d": {"e": 0}}


@pytest.mark.parametrize("run", GOLDEN, ids=[" ".join(run["overrides"]) for run in GOLDEN])
def test_identities_stay_what_they_are(run):
    assert identity(run["config"], run["data"], run["weights"]) == run["identity_1"]
    assert identity_v0(run["config"], run["data"], run["weights"]) == run["run_id"]
    config = RunConfig.from_omegaconf(OmegaConf.create(run["config"]))
    assert f"{readable_name(config)}-{run['run_id']}" == run["folder"]


@pytest.mark.parametrize("run", GOLDEN[:14], ids=[" ".join(run["overrides"]) for run in GOLDEN[:14]])
def test_the_configuration_of_today_has_the_identities_of_then(run, recorded):
    """Composed by today's schemas and conf/; resolving sites and a placebo's options is left to the stored one."""
    from tests.conftest import TINY, beside

    config = recorded(*beside(run["overrides"], base=TINY), *run["overrides"])
    config = {**config, "placement": run["config"]["placement"], "placebo": run["config"]["placebo"]}
    assert identity(config, run["data"], run["weights"]) == run["identity_1"]
    assert identity_v0(config, run["data"], run["weights"]) == run["run_id"]


def old_identity(config, **changes):
    for key, value in changes.items():
        config = with_value(config, key.replace("__", "."), lambda _, value=value: value)
    return identity_v0(config, "abc", None)


def test_the_old_identity_takes_no_notice_of_options_that_came_later(recorded, monkeypatch):
    config = recorded("attention=acmix", "placement=p3")
    monkeypatch.setitem(TRAINER, "new", 0.5)
    monkeypatch.setitem(PROGRAM, "new", None)
    assert old_identity(config, trainer__new=0.5, new=None) == old_identity(config)
    assert old_identity(config, trainer__new=0.6) is None
    assert old_identity(config, new=1) is None
    assert old_identity(config, trainer__workers=3) == old_identity(config)


def test_the_old_identity_knows_moved_classes_and_removed_options(recorded):
    config = recorded("attention=acmix", "placement=p3")
    moved = old_identity(config, attention___target_="library.acmix.ACmix")
    del config["trainer"]["cls_pw"]
    assert moved == old_identity(config) is not None


def test_the_old_identity_is_none_where_the_same_options_meant_another_training(recorded):
    acmix, baseline = recorded("attention=acmix", "placement=p3"), recorded("attention=baseline")
    assert old_identity(acmix, trainer__freeze=10) is None
    assert old_identity(baseline, trainer__freeze=10) is not None
    for batch in (-1, 0, 0.7):
        assert old_identity(baseline, trainer__batch=batch) is None


def test_names_a_person_can_read(composed):
    assert readable_name(composed("placement=p3", "seed=7")) == "acmix-p3-yolo26n-digits-s7"
    assert readable_name(composed("placement=p3", "placement.mode=replace")) == "acmix-p3-replace-yolo26n-digits-s0"
    assert readable_name(composed("placement=p3", "placement.gate=zero")) == "acmix-p3-gate_zero-yolo26n-digits-s0"
    assert readable_name(composed("attention=baseline")) == "baseline-yolo26n-digits-s0"
    for file, name in (("fruits/data.yaml", "fruits"), ("fruits/pets.yaml", "pets")):
        config = composed("attention=baseline", f"data.yaml=/my/{file}")
        config = replace(config, data=replace(config.data, name=Path(file).stem))
        assert readable_name(config) == f"baseline-yolo26n-{name}-s0"


def test_a_folder_of_pascal_voc_names_the_run_unless_its_set_has_a_name(composed):
    named = composed("attention=baseline", "data=bccd", "data.source=/my/cells")
    own = composed("attention=baseline", "data=pascal_voc", "data.source=/my/cells/")
    assert readable_name(named) == "baseline-yolo26n-bccd-s0"
    assert readable_name(own) == "baseline-yolo26n-cells-s0"


def test_images_in_memory_make_another_run_and_images_on_disk_do_not(recorded):
    config = recorded("attention=baseline")
    ids = [named(with_value(config, "trainer.cache", lambda _, value=value: value)) for value in (False, "disk")]
    held = [named(with_value(config, "trainer.cache", lambda _, value=value: value)) for value in (True, "ram")]
    assert ids[0] == ids[1]
    assert held[0] == held[1] != ids[0]


def test_a_run_of_then_is_not_found_for_images_in_memory(recorded):
    config = recorded("attention=baseline")
    assert identity_v0(config, "data", None) is not None
    assert identity_v0(with_value(config, "trainer.cache", lambda _: "ram"), "data", None) is None


@pytest.mark.parametrize("name", ["../../a b/x", "a b", "a/b", "", None, "a\\b"])
def test_an_attention_whose_name_cannot_be_part_of_a_folder_s_is_refused(name, composed):
    config = composed("attention=acmix", "placement=p3")
    with pytest.raises(ConfigError, match=r"attention.name=.* takes letters, digits, _, - and \. only; write name: "):
        readable_name(replace(config, attention={**MINE, "name": name}))
    assert readable_name(replace(config, attention={**MINE, "name": "a-b_C.1"})).startswith("a-b_C.1-p3-")


def test_a_data_set_whose_name_leads_elsewhere_is_refused(composed):
    config = composed("attention=acmix", "placement=p3")
    with pytest.raises(ConfigError, match=r"data.name=\.\./x: .* choose one without /"):
        readable_name(replace(config, data=replace(config.data, name="../x")))
    assert "-my pets-" in readable_name(replace(config, data=replace(config.data, name="my pets")))

"""Search files: what they hold, and what is refused."""

import copy

import pytest
import yaml

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.search.definition import load_search, refuse_overrides, search_names
from yolo26_attention.search.state import read_state

CONTENT = {
    "question": "Where?",
    "space": {"p3": ["none", "se"], "p5": ["none", "acmix"]},
    "budget": {"latency_ratio": 1.2, "runs": 4},
}


def written(path, **changes):
    content = copy.deepcopy(CONTENT)
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = content
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_what_a_file_leaves_out_has_defaults(tmp_path):
    found = load_search(written(tmp_path / "mine.yaml"))
    assert (found.confirm.looks, found.budget.at_once, found.seed, found.sites) == ((3, 5, 10), 4, 0, ["p3", "p5"])


@pytest.mark.parametrize("name", search_names())
def test_searches_of_the_repository_are_read(name):
    assert load_search(name).question.endswith("?")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"spce": 1}, r"spce is unknown; there are question, space", id="key"),
        pytest.param({"budget__rnus": 1}, r"budget\.rnus is unknown; there are latency_ratio, runs", id="budget-key"),
        pytest.param({"budget__runs": "9"}, r"budget\.runs is '9'", id="type"),
        pytest.param({"budget__runs": 3}, r"budget\.runs=3 must be at least 4", id="runs"),
        pytest.param({"budget__latency_ratio": 0}, r"budget\.latency_ratio=0\.0 is not a ratio", id="ratio"),
        pytest.param({"budget__hours": -1}, r"budget\.hours=-1\.0 must be a finite number above 0", id="hours"),
        pytest.param({"confirm__looks": [5, 3]}, r"confirm\.looks=\[5, 3\] are not growing", id="looks"),
        pytest.param({"confirm__top": 0}, r"confirm\.top=0 must be at least 1", id="top"),
        pytest.param({"space__trainer": ["full", "debug"]}, r"space\.trainer: candidates are ranked", id="recipe"),
        pytest.param({"space__trainer.epochs": [8, 9]}, r"space\.trainer\.epochs: candidates are", id="epochs"),
        pytest.param({"space__trainer.steps": [None, 9]}, r"space\.trainer\.steps: candidates are", id="steps"),
        pytest.param({"space__trainer.time": [None, 9]}, r"space\.trainer\.time: candidates are", id="time"),
        pytest.param({"space__pause": [None, 9]}, r"space\.pause is set by the search", id="pause"),
        pytest.param({"space": {}}, r"space is empty; write", id="empty"),
        pytest.param({"space__p3": ["se"]}, r"space\.p3=\['se'\] leaves nothing to choose", id="one-value"),
        pytest.param({"space__p3": ["se", "se"]}, r"space\.p3 has se twice", id="twice"),
        pytest.param({"space__model": ["yolo26n", "yolo26s"]}, r"space\.model: the latency ratio refers", id="model"),
        pytest.param({"space__attention": ["se", "eca"]}, r"attention and the site p3 both choose", id="both"),
        pytest.param({"common": {"seed": 1}}, r"common\.seed is set by the search", id="common"),
        pytest.param({"space__p4": list(range(30_000))}, r"space has 120000 candidates", id="too-many"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_search(written(tmp_path / "mine.yaml", **changes))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer=adamw", r"optimizer=adamw: the search chooses optimizer itself, from \['musgd', 'adamw'\]"),
        ("+p3=se", r"\+p3=se: the search chooses p3 itself"),
        ("attention=se", r"attention=se: the search chooses the attention at p3, p5 itself"),
        ("placement.mode=replace", r"placement\.mode=replace: the search chooses the attention"),
        ("placebo.by=flops", r"placebo\.by=flops: the search chooses the attention"),
    ],
)
def test_an_option_that_the_search_chooses_is_refused(override, message, tmp_path):
    found = load_search(written(tmp_path / "mine.yaml", space__optimizer=["musgd", "adamw"]))
    refuse_overrides(found, ["optimizer.lr0=0.01", "trainer=full"])
    with pytest.raises(ConfigError, match=message):
        refuse_overrides(found, [override])


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"there is no search plce\. Did you mean place\?"):
        load_search("plce")


def test_a_search_goes_on_with_a_larger_budget_but_with_no_other_space(tmp_path):
    search = load_search(written(tmp_path / "mine.yaml"))
    state = read_state(tmp_path / "mine", search, [])
    state.costs["baseline"] = 1.0
    state.write(tmp_path / "mine")
    more = load_search(written(tmp_path / "mine.yaml", budget__runs=8, budget__hours=2.5))
    assert read_state(tmp_path / "mine", more, []).costs == {"baseline": 1.0}
    with pytest.raises(ConfigError, match=r"search=mine: it began with another file or other options"):
        read_state(tmp_path / "mine", search, ["trainer=full"])
    (tmp_path / "mine" / "search.json").write_text("{")
    with pytest.raises(ConfigError, match=r"search\.json is no search"):
        read_state(tmp_path / "mine", search, [])

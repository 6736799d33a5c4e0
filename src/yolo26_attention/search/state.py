"""What a search has measured and started: outputs/searches/NAME/search.json, its one reader and writer.

Scores are not in it: they are read from the runs' journals.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.digest import json_digest
from yolo26_attention.files.typed import read_file, write_file
from yolo26_attention.search.definition import Confirmation, SearchFile
from yolo26_attention.study.optuna_search import FREE

FORMAT = 1


@dataclass
class Started:
    """A candidate that was started.

    Attributes:
        indices: its values, by index.
        run: name of its run's folder.
    """

    indices: tuple[int, ...]
    run: str


@dataclass
class SearchState:
    """What has been done.

    Attributes:
        declared: hash of the search file's content and of the options that affect a result.
        costs: measured latency ratios by label: of single changes, which predict, and of the front.
        machine: device on which they were measured.
        started: candidates in the order of their start.
        impossible: why candidates cannot be built, by label.
        seconds: time spent training, on the clock.
        training_since: when the training in progress began, in seconds since the epoch; None if none is.
        confirm: how it is confirmed; None before the confirmation has been written.
    """

    declared: str
    costs: dict[str, float] = field(default_factory=dict)
    machine: str = ""
    started: list[Started] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    training_since: float | None = None
    confirm: Confirmation | None = None

    def write(self, folder: Path) -> None:
        """Write search.json, in one step."""
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "search.json", self, FORMAT)


def read_state(folder: Path, search: SearchFile, overrides: Sequence[str]) -> SearchState:
    """Read search.json, or begin one.

    Raises:
        ConfigError: if the file is damaged, the search began with another file or other options, or its confirmation
            began with another `confirm`.
    """
    # More runs or hours continue the same search, and so does another confirmation, until that has begun.
    content = {**asdict(search), "confirm": None, "budget": {"latency_ratio": search.budget.latency_ratio}}
    kept = [override for override in overrides if not override.startswith(FREE)]
    declared = json_digest([content, kept])[:12]
    path = folder / "search.json"
    if not path.exists():
        return SearchState(declared)
    try:
        state = read_file(SearchState, path, FORMAT)
    except ValueError as error:
        raise ConfigError(f"{path} is no search ({error}); move it away and start the search again") from error
    if state.declared != declared:
        raise ConfigError(
            f"search={folder.name}: it began with another file or other options; search=NAME starts one of another name"
        )
    if state.confirm not in (None, search.confirm):
        raise ConfigError(
            f"search={folder.name}: confirm: {_plain(search.confirm)}, but its confirmation began with "
            f"{_plain(state.confirm)}; put that back, or search=NAME starts one of another name, which uses the runs "
            "there are"
        )
    return state


def _plain(confirm: Confirmation) -> str:
    """As in a search file."""
    return f"{{top: {confirm.top}, looks: {list(confirm.looks)}}}"

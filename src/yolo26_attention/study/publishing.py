"""What a report needs of a study, copied to a folder that is small enough to publish. Free of torch."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.atomic import atomic, write_atomically
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.study.inventory import list_runs

# An absolute path, as a whole value or behind the key of an override or the scheme of a URL.
PATH = re.compile(r"([+~]*[\w.@/]+=)?(file://|\w+:///)?(/[^\n]+)")
QUOTED = re.compile(r"""(['"])([^\n]*?)\1""")


def _folders(segment: str) -> re.Pattern[str]:
    """The folders of an absolute path inside a text; neither a relative path nor a URL with a host has any."""
    start = r"(?:(?<=file://)|(?<=:///)|(?<![\w.~\-/:])/*|(?<=:)(?!//))"
    return re.compile(rf"{start}/(?:{segment}/+)+(?=[^\s\"'/])")


# Blanks belong to a path only between quotes, or where the path is a whole value.
FOLDERS = _folders(r"[^\s\"'/=,:()\[\]{}]+")
FOLDERS_WITH_BLANKS = _folders(r"[^\n\"'/=,:()\[\]{}]+")
BRACKETED = re.compile(r"[+~]*[\w.@/]+=\s*[\[({][^\n]*")


def publish(output_dir: Path, study: str, target: Path) -> list[Path]:
    """Copy the records of a study's finished runs, without checkpoints and pictures.

    `python -m src.report STUDY output_dir=TARGET` then gives the same table and figures, except those that need the
    networks themselves. Files of the same name are replaced. Absolute paths, as of the data's folder, are reduced to
    their last part, because they tell about the machine and serve nobody else. Damaged lines of a journal are left out.

    Args:
        output_dir: where the runs are.
        study: name of the study.
        target: where the copies go, with the layout of `output_dir`.

    Returns:
        The copied files.

    Raises:
        ConfigError: if no run of the study has finished, or if both folders are the same.
    """
    if target.resolve() == output_dir.resolve():
        raise ConfigError(f"copy={target}: this is output_dir itself; give another folder")
    finished = list_runs(output_dir, study, "finished")
    if not finished:
        raise ConfigError(
            f"study={study}: no run of it has finished in {OutputFolder(output_dir).runs}; python -m src.runs lists "
            "the runs of every study and their states, output_dir=FOLDER names another folder"
        )
    source = OutputFolder(output_dir)
    files = [source.studies / study / "study.json", source.timings(study), source.windows(study)]
    for run in finished:
        assert run.record is not None, "it has finished"
        files += _of_run(run.folder, run.record)
    there = [file for file in files if file.is_file()]
    return [_copy(file, target / file.relative_to(output_dir)) for file in there]


def _of_run(folder: Path, record: Record) -> list[Path]:
    """The matches are those behind the scores that a report compares."""
    run = RunFolder(folder)
    matches = run.detections if record.test is None else run.test_detections
    return [run.record, run.journal, run.config, run.resolved, run.samples, matches]


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix in (".json", ".jsonl", ".yaml"):
        write_atomically(target, _without_folders(source))
        return target
    with atomic(target) as partial:
        shutil.copyfile(source, partial)
    return target


def _without_folders(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".yaml":
        return yaml.safe_dump(_last_parts(yaml.safe_load(text)), sort_keys=False, allow_unicode=True)
    if source.suffix == ".json":
        return json.dumps(_last_parts(json.loads(text)), indent=2) + "\n"
    return "".join(json.dumps(_last_parts(entry.plain)) + "\n" for entry in read_journal(source))


def _last_parts(value: Any) -> Any:
    """The same value, with absolute paths reduced to their last part."""
    if isinstance(value, dict):
        return {key: _last_parts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_last_parts(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if path := PATH.fullmatch(value):
        return (path[1] or "") + (path[2] or "") + Path(path[3]).name
    if BRACKETED.fullmatch(value):
        return FOLDERS_WITH_BLANKS.sub("", value)
    quoted = QUOTED.sub(lambda part: f"{part[1]}{FOLDERS_WITH_BLANKS.sub('', part[2])}{part[1]}", value)
    return FOLDERS.sub("", quoted)

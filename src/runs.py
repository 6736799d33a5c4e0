"""Entry: list the runs, show one, remove one or all that failed, copy the records of a study.

python -m src.runs
python -m src.runs study=kernel_att status=failed
python -m src.runs show=kernel_att/acmix
python -m src.runs remove=failed
python -m src.runs copy=results study=kernel_att
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.interruptible import interruptible_command
from yolo26_attention.config.key_value import parse_arguments
from yolo26_attention.counts import number_of
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.study.definition import study_name
from yolo26_attention.study.inventory import (
    LISTED_STATES,
    ListedRun,
    list_runs,
    megabytes,
    remove_run,
    resolve_run,
    table,
    unfinished,
)
from yolo26_attention.study.publishing import publish


@dataclass(frozen=True)
class Options:
    """What the command takes."""

    study: str = field(
        default="", metadata={"help": "only runs of this study, by its name or the path of its file", "shown": "all"}
    )
    status: str = field(
        default="", metadata={"help": f"only runs in this state: {', '.join(LISTED_STATES)}", "shown": "all"}
    )
    show: str = field(
        default="",
        metadata={
            "help": "show one run: name, hash, folder or STUDY/VARIANT; or best, with study=NAME",
            "shown": "none",
        },
    )
    remove: str = field(
        default="", metadata={"help": "remove one run, given as for show=; failed: all that failed", "shown": "none"}
    )
    copy: str = field(
        default="",
        metadata={
            "help": "copy what src.report needs of study=NAME to this folder, without checkpoints",
            "shown": "none",
        },
    )
    yes: bool = field(default=False, metadata={"help": "remove without asking"})
    output_dir: str = field(default="outputs", metadata={"help": "where the runs are"})


def runs(options: Options) -> str:
    """Do what the options say; what the terminal shows.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    output_dir = Path(options.output_dir)
    options = replace(options, study=study_name(options.study))
    if options.status and options.status not in LISTED_STATES:
        raise ConfigError(f"status={options.status}: there is no such state; choose {', '.join(LISTED_STATES)}")
    asked = [f"{key}={getattr(options, key)}" for key in ("show", "remove", "copy") if getattr(options, key)]
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(asked)}: give one of them")
    if options.yes and not options.remove:
        raise ConfigError("yes=true has no effect without remove=")
    if asked:
        _refuse_useless(options, asked[0])
    if options.copy:
        return _copied(options)
    if options.show:
        return _shown(_folder(options, options.show))
    found = list_runs(output_dir, options.study, options.status)
    if options.remove:
        return _removed(options, found)
    if not found:
        return f"no runs in {OutputFolder(output_dir).runs}" + (" like this" if options.study or options.status else "")
    total = megabytes(sum(run.size for run in found))
    return "\n".join([*table(found), "", f"{number_of(len(found), 'run')}, {total}"])


def _refuse_useless(options: Options, wish: str) -> None:
    """Refuse a choice of runs that what is asked for would not keep to.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    kept = []
    if options.copy or options.remove == "failed" or options.show == "best":
        kept.append("study")
    useless = [f"{key}={value}" for key in ("study", "status") if key not in kept and (value := getattr(options, key))]
    if useless:
        several = len(useless) > 1
        raise ConfigError(
            f"{' and '.join(useless)} {'have' if several else 'has'} no effect on {wish}; leave "
            f"{'them' if several else 'it'} out"
        )


def _folder(options: Options, run: str) -> Path:
    study = options.study if run == "best" and options.study else None
    return resolve_run(run, Path(options.output_dir), study)


def _shown(folder: Path) -> str:
    """The table of a finished run; the state of any other, with its error or the command that continues it."""
    from yolo26_attention.files.record import Record
    from yolo26_attention.run.summary import missing_results
    from yolo26_attention.run.summary import table as results

    try:
        record = Record.read(folder)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    assert record is not None, "resolve_run has found it"
    if record.status == "finished" and not missing_results(record):
        return results(record, folder)
    return unfinished(record, folder)


def _copied(options: Options) -> str:
    if not options.study:
        raise ConfigError(f"copy={options.copy}: of which study? give study=NAME")
    files = publish(Path(options.output_dir), options.study, Path(options.copy))
    copied = f"{number_of(len(files), 'file')}, {megabytes(sum(file.stat().st_size for file in files))}"
    return f"copied {copied}; see: python -m src.report {options.study} output_dir={options.copy}"


def _removed(options: Options, found: list[ListedRun]) -> str:
    output_dir = Path(options.output_dir)
    if options.remove == "failed":
        chosen = [run for run in found if run.state == "failed"]
    else:
        name = _folder(options, options.remove).name
        chosen = [run for run in list_runs(output_dir) if run.name == name]
        if not chosen:
            raise ConfigError(
                f"remove={options.remove}: it is not in {OutputFolder(output_dir).runs}; give its output_dir"
            )
    if not chosen:
        return "no run failed"
    total = megabytes(sum(run.size for run in chosen))
    many = "this run" if len(chosen) == 1 else f"these {len(chosen)} runs"
    if not options.yes:
        print("\n".join([*table(chosen), ""]))
        if not sys.stdin.isatty():
            raise ConfigError(f"remove={options.remove} asks first, and nobody can answer here; confirm with yes=true")
        if input(f"remove {many}, {total}? [y/N] ").strip().lower() not in ("y", "yes"):
            return "nothing was removed"
    for run in chosen:
        remove_run(output_dir, run.name)
    return f"removed {number_of(len(chosen), 'run')}, {total}"


def main() -> None:
    """Print what was asked for."""
    options = parse_arguments(Options, "python -m src.runs", __doc__.splitlines()[0].removeprefix("Entry: "))
    with interruptible_command("python -m src.runs lists what is there"):
        try:
            print(runs(options))
        except ConfigError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

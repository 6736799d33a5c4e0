"""The options of an attention as text: what `attention=NAME --help` prints, and the page of all mechanisms."""

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from omegaconf import DictConfig, OmegaConf

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.option_rows import HEADER, HIDDEN, OptionRow, schema_rows, type_name, value_text
from yolo26_attention.config.own_signature import own_signature
from yolo26_attention.config.schema import SCHEMAS, PlaceboConfig
from yolo26_attention.text_tables import aligned, markdown_table

PAGE = """\
# The attention modules and their options

Back to the [README](../README.md). This page lists every value of `attention=` with its options. The command line shows
the same for one of them, and for a module of your own:

```bash
python -m src.train attention=acmix --help
python -m src.train -cd mine attention=damped --help
```

`channels` are those of a site: `python -m src.describe` prints them. `null` stands for a value that the module chooses.
Values outside the ranges are refused before training. `make attentions` makes this page from the code.
"""


def attention_help(*, _root_: DictConfig) -> str:
    """The page that `attention=NAME --help` prints, as a resolver of OmegaConf.

    Args:
        _root_: a composed configuration, with Hydra's own.
    """
    chosen, name = _root_.attention, _root_.hydra.runtime.choices.attention
    schema = OmegaConf.get_type(chosen)
    if schema is not None and schema in SCHEMAS["attention"].values():
        about, rows = inspect.cleandoc(schema.__doc__ or ""), _rows_of(schema)
    else:
        sources = [
            source["path"] for source in _root_.hydra.runtime.config_sources if "command-line" in source.provider
        ]
        about, rows = _own(name, chosen, sources)
    lines = [f"attention={name}", "", *about.splitlines(), ""]
    shown = [line for row in _with_given(rows, _root_) for line in _folded(row)]
    lines += aligned([HEADER, *shown]) if rows else ["It has no options." if schema else "Its YAML has no options."]
    if any(row.option.startswith("+") for row in rows):
        lines += ["", "With +, because your YAML does not have it; with the key there, leave the + out."]
    if any(" (now " in row.default for row in shown):
        lines += ["", "(now ...): the value that your YAML or this command gives instead of the default of the class."]
    lines += ["", f"{_root_.hydra.help.app_name} --help lists everything else."]
    return "\n".join(lines).replace("$", "$$")  # Hydra substitutes $NAME in its help


def page() -> str:
    """docs/attentions.md: every mechanism that is shipped, with its options."""
    parts = [PAGE]
    for name, schema in SCHEMAS["attention"].items():
        rows = [OptionRow(f"`{row.option}`", *row[1:]) for row in _rows_of(schema)]
        table = markdown_table([HEADER, *rows]) if rows else ["It has no options."]
        parts.append("\n".join([f"## {name}", "", inspect.cleandoc(schema.__doc__ or ""), "", *table]) + "\n")
    return "\n".join(parts)


def _rows_of(schema: type) -> list[OptionRow]:
    rows = schema_rows(schema, "attention")
    return rows + schema_rows(PlaceboConfig, "placebo") if schema is SCHEMAS["attention"]["placebo"] else rows


def _own(name: str, chosen: DictConfig, folders: Sequence[str]) -> tuple[str, list[OptionRow]]:
    """Docstring and options of a class of your own: its arguments, then what only the YAML has.

    Raises:
        ConfigError: if the YAML names no class, or the file of the class is no Python.
    """
    if not (target := str(chosen.get("_target_") or "")):
        raise ConfigError(f"attention={name}: your YAML has no _target_; write _target_: MODULE.CLASS into it")
    found = own_signature(target, folders)
    about, known = found or ("", {})
    given = {str(key): type_name(type(_plain(chosen[key]))) for key in chosen if key not in HIDDEN}
    rows = [
        row._replace(option=f"attention.{name}", type=row.type or given[name])
        if name in given
        else row._replace(option=f"+attention.{name}")
        for name, row in known.items()
    ]
    rows += [OptionRow(f"attention.{name}", kind) for name, kind in given.items() if name not in known]
    where = "of your own" if found else "whose arguments are not in a file of the folder given with -cd"
    return f"{target}, {where}. {about.partition('Args:')[0].strip()}".strip(), rows


def _folded(row: OptionRow) -> Iterator[OptionRow]:
    """The row as lines of a terminal: long values and meanings go on below."""
    parts = (textwrap.wrap(row.values, 32), textwrap.wrap(row.meaning, 60))
    for index, (values, meaning) in enumerate(zip_longest(*parts, fillvalue="")):
        yield (row if index == 0 else OptionRow(""))._replace(values=values, meaning=meaning)
    if not any(parts):
        yield row


def _with_given(rows: Sequence[OptionRow], root: DictConfig) -> list[OptionRow]:
    """Rows whose default also says which value the YAML or the command line gives instead."""
    shown = []
    for row in rows:
        if not row.option.startswith("+"):
            value = value_text(_plain(OmegaConf.select(root, row.option)))
            now = f"{row.default} (now {value})" if row.default else value
            row = row if value == row.default else row._replace(default=now)
        shown.append(row)
    return shown


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


if __name__ == "__main__":
    print(page(), end="")

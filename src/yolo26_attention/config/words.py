"""Words that people type after a command out of habit, and what to type instead."""

from yolo26_attention.config.errors import ConfigError

WORDS = {
    "help": "write --help",
    "list": "--help lists the options, python -m src.runs the runs, python -m src.sweep --help the studies",
    "train": "python -m src.train is the command that trains; leave the word out",
    "val": "every run is validated after its training; leave the word out",
    "detect": "this program trains detection; leave the word out",
    "predict": "predict with Ultralytics: grafted_yolo, see docs/options.md",
    "export": "the command is python -m src.export run=NAME",
}


def refuse_word(argument: str) -> None:
    """Answer a word of `yolo`, or a command, with what to type here; a study of that name is study=WORD.

    Raises:
        ConfigError: if the argument is such a word.
    """
    if argument in WORDS:
        raise ConfigError(f"{argument}: {WORDS[argument]}")

"""Where in a user's file an error comes from."""

import inspect
import sysconfig
import traceback
from pathlib import Path
from typing import Any

# What a user's file calls: an error is raised there, and comes from the line that called.
CALLED = (f"{sysconfig.get_path('stdlib')}/", *(f"/{name}/" for name in ("torch", "ultralytics", "numpy", "onnx")))
HERE = str(Path(__file__).parent)


def last_line(error: BaseException) -> str:
    """What a traceback ends with, and the last place in it that is neither in a library nor in this folder."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(("<frozen", HERE))
    ]
    own = [frame for frame in frames if not any(part in frame.filename for part in CALLED)]
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    last = lines[-1 if isinstance(error, SyntaxError) else 0]
    return f"{last} ({own[-1].filename}, line {own[-1].lineno})" if own else last


def defined(thing: Any) -> str:
    """File and line of a class or function, in words; "" for one without a source."""
    thing = inspect.unwrap(thing)
    try:
        return f"{inspect.getsourcefile(thing)}, line {inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return ""

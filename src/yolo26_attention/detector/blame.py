"""Find the line of a user's file that caused an error."""

import inspect
import sysconfig
import traceback
from pathlib import Path
from typing import Any

# Code that a user's file calls: errors raised there are attributed to the calling line.
CALLED = (f"{sysconfig.get_path('stdlib')}/", *(f"/{name}/" for name in ("torch", "ultralytics", "numpy", "onnx")))
HERE = str(Path(__file__).parent)


def last_line(error: BaseException) -> str:
    """The last line of a traceback, and its last location outside of libraries and this folder."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(("<frozen", HERE))
    ]
    own = [frame for frame in frames if not any(part in frame.filename for part in CALLED)]
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{lines[-1]} ({error.filename}, line {error.lineno})"
    last = lines[0]
    return f"{last} ({own[-1].filename}, line {own[-1].lineno})" if own else last


def defined(thing: Any) -> str:
    """Describe the file and line of a class or function; "" if it has no source."""
    thing = inspect.unwrap(thing)
    try:
        return f"{inspect.getsourcefile(thing)}, line {inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return ""

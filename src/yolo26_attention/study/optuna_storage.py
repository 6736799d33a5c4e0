"""Where a search is stored, with Optuna in a version that reads it and one process at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.locks import LockError, lock_file, run_lock
from yolo26_attention.files.record import RunHeldError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@contextmanager
def search_lock(output_dir: Path, name: str) -> Iterator[None]:
    """Hold the lock of a search, so that a trial that is stored as running is one that was killed.

    Raises:
        ConfigError: if another process is at this search.
    """
    with ExitStack() as held:
        try:
            held.enter_context(run_lock(lock_file(output_dir, f"search-{name}")))
        except LockError as error:
            raise ConfigError(str(error)) from error
        except RunHeldError as error:
            raise ConfigError(
                f"study={name}: {error.process} is at this search; hydra.sweeper.n_jobs=2 runs two trials at a time, "
                "and study=NAME starts another search"
            ) from error
        yield


def check_installed() -> None:
    """Refuse a missing or too old Optuna.

    Raises:
        ConfigError: with the command that installs it.
    """
    install = "pip install -e '.[search]'"
    try:
        found = version("optuna")
    except PackageNotFoundError as error:
        raise ConfigError(f"hydra/sweeper=optuna needs Optuna; install with: {install}") from error
    if int(found.split(".")[0]) < 5:
        raise ConfigError(
            f"hydra/sweeper=optuna needs Optuna 5, and {found} is installed, which hydra-optuna-sweeper demands; "
            f"nothing here needs that plugin: pip uninstall hydra-optuna-sweeper, then {install}"
        )


def open_storage(storage: str) -> "BaseStorage":
    """Open a database by its URL, or a journal file by its path.

    Raises:
        ConfigError: if it cannot be opened, or an earlier Optuna wrote it.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in storage:
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(storage))
    if storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        return RDBStorage(storage)
    except RuntimeError as error:  # the schema of its tables
        raise ConfigError(
            f"hydra.sweeper.storage={storage}: another version of Optuna wrote it; upgrade it with: "
            f"optuna storage upgrade --storage {storage}"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.storage={storage} cannot be opened ({str(error).splitlines()[0]}); write "
            "sqlite:///PATH, or the path of a journal file"
        ) from error

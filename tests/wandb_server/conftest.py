"""A stand-in for W&B's server for each test."""

from collections.abc import Iterator

import pytest

from tests.wandb_server import WandbServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server to which this process and those that it starts send their runs; W&B's client asks it nothing unknown."""
    import wandb

    wandb.teardown()  # W&B reads its address and key once in a process
    serving = WandbServer()
    for name, value in serving.environment.items():
        monkeypatch.setenv(name, value)
    yield serving
    wandb.teardown()
    serving.stop()
    assert serving.kept.unknown == []

"""A stand-in for the W&B server on loopback: answers what wandb 0.31 asks, keeps what it is sent, and fails on demand.

It was written from what W&B's client sends and does with the answers; how W&B's own server behaves is not known here.
"""

from tests.wandb_server.kept import Kept, KeptRun
from tests.wandb_server.serving import KEY, WandbServer

__all__ = ["KEY", "Kept", "KeptRun", "WandbServer"]

"""The file of an exact state: whole or not there, and never trusted when it is damaged."""

import errno
import random

import numpy as np
import pytest
import torch

from tests.fabricate import training_state
from yolo26_attention.files import record
from yolo26_attention.training.random_streams import random_streams, set_random_streams, start_epoch_anew
from yolo26_attention.training.state import (
    ForeignStateError,
    previous,
    read_state,
    remove_state,
    settle,
    write_state,
)


@pytest.fixture
def state_file(tmp_path):
    """The file of a run that has saved two epochs."""
    path = tmp_path / "state.pt"
    for epoch in (0, 1):
        write_state(path, training_state(epoch=epoch, model={"weights": torch.arange(1000.0)}))
    return path


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


DAMAGES = [cut_short, flip_a_bit, empty]


def test_a_state_is_read_back_and_the_one_before_is_kept(state_file):
    assert read_state(state_file).epoch == 1
    assert torch.equal(read_state(state_file).model["weights"], torch.arange(1000.0))
    assert read_state(previous(state_file)).epoch == 0
    assert settle(state_file, state_file.with_name("best.pt")) == []
    assert read_state(state_file).epoch == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_state_gives_way_to_the_one_before(damage, state_file):
    damage(state_file)
    with pytest.raises(ValueError, match=r"state\.pt cannot be read"):
        read_state(state_file)
    (problem,) = settle(state_file, state_file.with_name("best.pt"))
    assert "state.pt cannot be read" in problem
    assert read_state(state_file).epoch == 0


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_nothing_is_left_when_both_are_damaged(damage, state_file):
    damage(state_file)
    damage(previous(state_file))
    assert len(settle(state_file, state_file.with_name("best.pt"))) == 2
    assert list(state_file.parent.iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_state_falls_with_the_best_checkpoint_it_relies_on(damage, tmp_path):
    state, best = tmp_path / "state.pt", tmp_path / "best.pt"
    write_state(state, training_state(best_before=True))
    torch.save({"model": torch.zeros(1000)}, best)
    assert settle(state, best) == []
    damage(best)
    (problem,) = settle(state, best)
    assert "best.pt cannot be read" in problem
    assert not state.exists()


def test_a_state_of_another_version_is_not_taken_for_ours(state_file):
    torch.save({"format": 0}, state_file)
    with pytest.raises(ValueError, match="has format 0, this version of the program reads 1"):
        read_state(state_file)


def test_half_written_files_are_cleared_away(state_file):
    (state_file.parent / "state.pt.12.partial").write_bytes(b"half")
    (state_file.parent / "train" / "weights" / "writing.partial").mkdir(parents=True)
    settle(state_file, state_file.with_name("best.pt"))
    assert not list(state_file.parent.rglob("*.partial"))


def test_a_full_disk_leaves_both_states(state_file, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_state(state_file, training_state(epoch=2))
    assert read_state(state_file).epoch == 1
    assert read_state(previous(state_file)).epoch == 0
    assert not list(state_file.parent.rglob("*.partial"))


def test_remove_state_removes_both(state_file):
    remove_state(state_file)
    assert list(state_file.parent.iterdir()) == []


def test_streams_go_on_where_they_were(tmp_path):
    device = torch.device("cpu")
    draw = lambda: (random.random(), np.random.rand(), torch.rand(2).tolist())  # noqa: E731, NPY002
    path = tmp_path / "state.pt"
    write_state(path, training_state(streams=random_streams(device)))
    expected = draw()
    draw()
    set_random_streams(read_state(path).streams, device)
    assert draw() == expected


class Dataset:
    """As far as the loader's start of an epoch looks at one of Ultralytics'."""

    def __init__(self, cache=None, images=40, buffer=8):
        self.cache, self.ni, self.max_buffer_length = cache, images, buffer
        self.ims, self.buffer = [b"an image"] * images, [1, 2, 3]


class Loader:
    """As far as it is started anew."""

    def __init__(self, **options):
        self.dataset, self.generator, self.resets = Dataset(**options), torch.Generator(), 0

    def reset(self):
        self.resets += 1
        self.generator.manual_seed(0)  # Ultralytics' has another one each time


def begun(*where, **options):
    """What a loader draws from once an epoch has begun: every stream, and the images that mosaics begin with."""
    loader = Loader(**options)
    start_epoch_anew(loader, *where)
    draws = random.random(), np.random.rand(), torch.rand(1).item(), torch.rand(1, generator=loader.generator).item()  # noqa: NPY002
    return loader, draws


def test_epochs_with_worker_processes_draw_other_numbers():
    places = [(0, 0, 0, -1), (0, 1, 0, -1), (1, 0, 0, -1), (0, 0, 1, -1), (0, 0, 0, 1)]
    found = [begun(*place) for place in places]
    for stream in zip(*(draws for _, draws in found), strict=True):
        assert len(set(stream)) == len(places), "seed, epoch, attempt and process each make a difference, everywhere"
    assert len({tuple(loader.dataset.buffer) for loader, _ in found}) == len(places)


def test_an_epoch_with_worker_processes_is_the_same_again():
    (first, draws), (again, same) = begun(0, 3, 0, -1), begun(0, 3, 0, -1)
    assert draws == same
    assert first.dataset.buffer == again.dataset.buffer
    assert first.resets == 1


def test_mosaics_of_new_workers_begin_with_images_that_are_not_held():
    loader, _ = begun(0, 0, 0, -1)
    assert loader.dataset.ims == [None] * 40, "an image that is held never enters the buffer"
    assert len(set(loader.dataset.buffer)) == 7, "one fewer than the buffer takes, so that it never runs over"
    assert set(loader.dataset.buffer) <= set(range(40))
    held, _ = begun(0, 0, 0, -1, cache="ram")
    assert held.dataset.ims == [b"an image"] * 40
    assert held.dataset.buffer == [1, 2, 3]
    assert begun(0, 0, 0, -1, images=1, buffer=0)[0].dataset.buffer == []


def test_a_state_of_another_run_is_refused_and_not_deleted(tmp_path):
    for run in ("a-1", "b-2"):
        (tmp_path / run).mkdir()
    path, copied = tmp_path / "a-1" / "state.pt", tmp_path / "b-2" / "state.pt"
    write_state(path, training_state(epoch=1))
    copied.write_bytes(path.read_bytes())
    for read in (read_state, lambda state: settle(state, state.with_name("best.pt"))):
        with pytest.raises(ForeignStateError, match=r"is the state of run a-1, not of b-2: .* give it its name back"):
            read(copied)
    assert copied.exists()
    assert read_state(path).epoch == 1


def test_a_state_of_a_version_that_named_no_run_is_read(tmp_path):
    torch.save({"format": 1, **vars(training_state(epoch=3))}, tmp_path / "state.pt")
    assert read_state(tmp_path / "state.pt").epoch == 3


def test_a_state_that_lacks_something_is_refused_and_not_deleted(tmp_path):
    path = tmp_path / "state.pt"
    content = {key: value for key, value in vars(training_state()).items() if key not in {"ema", "found_batch"}}
    torch.save({"format": 1, **content, "unknown": 1}, path)
    for read in (read_state, lambda state: settle(state, state.with_name("best.pt"))):
        with pytest.raises(ForeignStateError, match=r"does not fit this version .* \(it has no ema\); delete it"):
            read(path)
    torch.save({"format": 1, **content, "ema": {}, "unknown": 1}, path)
    assert read_state(path).found_batch is None

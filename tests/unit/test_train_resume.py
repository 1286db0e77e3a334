"""A training that is killed and gone on with gives the bytes of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from edgeprune.errors import EnvironmentFailure, UsageError
from edgeprune.model.model import Model, Training
from edgeprune.train import Schedule, TrainingDiverged, checkpoint, fine_tune

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(96, 3, 8, 8, generator=GENERATOR)
Y = (X.mean((2, 3)) * torch.tensor([1.0, 1.0, -1.0])).argmax(1)
STEPS = 24


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(288, 3)
        )


class Augmented:
    """Shuffled by the loader, moved by Python's and NumPy's generators."""

    def __init__(self, own_generator: bool = False) -> None:
        generator = torch.Generator().manual_seed(7) if own_generator else None
        self.loader = DataLoader(TensorDataset(X, Y), 16, shuffle=True, generator=generator)

    def __iter__(self) -> Iterator[Any]:
        for x, y in self.loader:
            yield x * random.uniform(0.9, 1.1) + float(np.random.normal(0, 0.01)), y


def make(data: Any = Augmented, loss: Any = F.cross_entropy, own: Any = None) -> Model:
    training = Training(data, data, loss, lambda *_: 1.0, "top-1", True, own)
    return Model("toy", Path("toy.py"), "torch", training=training)


def state_bytes(module: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in module.state_dict().values())


class Killed(BaseException): ...


def killed_after(batches: int) -> Any:
    """Data whose loader dies after so many batches, in the midst of whatever goes on."""
    left = iter(range(batches))

    class Dying(Augmented):
        def __iter__(self) -> Iterator[Any]:
            for batch in super().__iter__():
                if next(left, None) is None:
                    raise Killed
                yield batch

    return Dying


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_SAVE_EVERY_S", 0.0)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("schedule", [Schedule(), Schedule(patience=3)])
def test_killed_twice_and_resumed_gives_the_same_bytes(tmp_path: Path, schedule: Schedule) -> None:
    teacher = network().eval()
    whole = fine_tune(make(), network(), STEPS, seed=3, teacher=teacher, schedule=schedule)
    path = tmp_path / "state.pt"
    for batches in (7, 12):
        random.seed(batches)
        torch.manual_seed(batches)
        model = make(killed_after(batches))
        with pytest.raises(Killed):
            fine_tune(model, network(), STEPS, seed=3, teacher=teacher, schedule=schedule, resume_from=path)
    assert torch.load(path, weights_only=True)["state"]["step"] == 11
    again = fine_tune(make(), network(), STEPS, seed=3, teacher=teacher, schedule=schedule, resume_from=path)
    assert state_bytes(again) == state_bytes(whole)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.pt"]

    nothing_left = make(killed_after(0))
    finished = fine_tune(
        nothing_left, network(), STEPS, seed=3, teacher=teacher, schedule=schedule, resume_from=path
    )
    assert state_bytes(finished) == state_bytes(whole)


@pytest.mark.usefixtures("eager")
def test_a_loaders_own_generator_is_seeded(tmp_path: Path) -> None:
    moved_on = Augmented(own_generator=True)
    list(moved_on.loader)
    first = fine_tune(make(lambda: Augmented(own_generator=True).loader), network(), 9, seed=3)
    assert state_bytes(fine_tune(make(lambda: moved_on.loader), network(), 9, seed=3)) == state_bytes(first)


@pytest.mark.usefixtures("eager")
def test_another_training_does_not_go_on_from_it(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    fine_tune(make(), network(), 4, seed=3, resume_from=path)
    other = network()
    with torch.no_grad():
        other[0].weight.mul_(2)
    for module, steps, seed in [(network(), 5, 3), (network(), 4, 4), (other, 4, 3)]:
        expected = fine_tune(make(), module, steps, seed=seed)
        assert state_bytes(fine_tune(make(), module, steps, seed=seed, resume_from=path)) == state_bytes(
            expected
        )


@pytest.mark.usefixtures("eager")
def test_the_recipes_own_way_is_kept_at_its_end(tmp_path: Path) -> None:
    calls: list[int] = []

    def own(module: nn.Module, train: Iterable[Any], test: Iterable[Any], steps: int) -> nn.Module:
        calls.append(steps)
        for value in module.parameters():
            value.data += 1
        return module

    path = tmp_path / "state.pt"
    trained = [fine_tune(make(own=own), network(), 4, resume_from=path) for _ in range(2)]
    assert state_bytes(trained[0]) == state_bytes(trained[1])
    assert calls == [4]


@pytest.mark.usefixtures("eager")
def test_after_a_loss_that_is_no_number_the_last_good_state_stays(tmp_path: Path) -> None:
    calls = iter(range(1000))
    path = tmp_path / "state.pt"

    def loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output, y) * (float("nan") if next(calls) == 6 else 1.0)

    with pytest.raises(TrainingDiverged, match=r"stopped at step 7: [^\n]*good network.s .*state\.good\.pt"):
        fine_tune(make(loss=loss), network(), 20, resume_from=path)
    kept = torch.load(path, weights_only=True)["state"]
    assert kept["step"] == 5
    assert all(value.isfinite().all() for value in kept["module"].values())
    good = torch.load(tmp_path / "state.good.pt", weights_only=True)
    assert good.keys() == kept["module"].keys()
    assert all(value.isfinite().all() for value in good.values())


def test_weights_that_are_no_numbers_at_the_end_are_refused(tmp_path: Path) -> None:
    def loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output, y) + 0 * (output - output.detach()).abs().sqrt().sum()

    with pytest.raises(TrainingDiverged, match="stopped at step 1: the loss is nan"):
        fine_tune(make(loss=loss), network(), 1, resume_from=tmp_path / "state.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["state.good.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"state\.pt is damaged: delete it"):
        fine_tune(make(), network(), 2, resume_from=path)


def test_a_failed_save_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    file = checkpoint.CheckpointFile(path, "mark")
    file.save({"step": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(EnvironmentFailure, match="No space"):
        file.save({"step": 2})
    assert checkpoint.CheckpointFile(path, "mark").load() == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.pt"]


def test_a_plateau_cuts_the_schedule_short() -> None:
    seen: list[float] = []

    def loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(1.0)
        return 0 * output.sum() + (1.0 if len(seen) > 30 else 100.0 / len(seen))

    fine_tune(make(loss=loss), network(), 100, schedule=Schedule(patience=10))
    assert len(seen) == 60  # 30 that improve, 20 that tell, 10 that anneal
    seen.clear()
    fine_tune(make(loss=loss), network(), 100)
    assert len(seen) == 100


CHILD = """
import sys
from pathlib import Path
from edgeprune.train import checkpoint, fine_tune
from tests.unit.test_train_resume import make, network, state_bytes

checkpoint._SAVE_EVERY_S = 0.0
path = Path(sys.argv[1])
trained = fine_tune(make(), network(), 150, seed=3, resume_from=path / "state.pt")
(path / "trained.bin").write_bytes(state_bytes(trained))
"""


def test_sigkill_and_resume(tmp_path: Path) -> None:
    """The real thing: a process killed at some moment, and another that goes on."""
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, env=environment)
    while not (tmp_path / "state.pt").exists():
        assert child.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "trained.bin").exists()
    assert 0 < torch.load(tmp_path / "state.pt", weights_only=True)["state"]["step"] < 150
    subprocess.run(command, env=environment, check=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = fine_tune(make(), network(), 150, seed=3)
    torch.set_num_threads(threads)
    assert (tmp_path / "trained.bin").read_bytes() == state_bytes(whole)


def test_teacher_and_schedule_are_part_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    fine_tune(make(), network(), 4, resume_from=path)
    options: list[dict[str, Any]] = [
        {"teacher": network()},
        {"schedule": Schedule(peak_rate=0.01)},
        {"hold_zeros": True},
    ]
    for option in options:
        fine_tune(make(), network(), 4, resume_from=path, **option)
        mark = torch.load(path, weights_only=True)["fingerprint"]
        fine_tune(make(), network(), 4, resume_from=path)
        assert torch.load(path, weights_only=True)["fingerprint"] != mark

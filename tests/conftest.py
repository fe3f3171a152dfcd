"""What all tests share: the programs that jax compiles, and a task small enough to learn in seconds."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from buckets import bad_network, gs, s3  # noqa: F401 (fixtures)
from compiler import compile_soonest, share_contexts

from segjax.cache import data_dir

if TYPE_CHECKING:
    from forks import Forks

# Before jax is imported.
compile_soonest()
# Compiled programs are kept for pytest's other processes and for the next run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(data_dir() / "compiled_for_tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# A GPU's own products of float32 have fewer bits than the references.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
# Before torch is imported. Where pytest's processes share cores, torch's threads burn most of their time waiting for
# each other: a forward pass of a small network takes 0.2 CPU seconds with one of them, and 5 with two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_MOST_KEPT = 2**31
"""Bytes. To keep to it itself, jax would look at every file whenever it writes one."""
WITHOUT_PROMOTION = {"decoders", "encoders", "layers", "losses", "metrics", "models", "ops", "upsampling"}

SQUARES = '''
"""Bright squares on a dark ground."""

import numpy as np
import optax
from flax import linen as nn

from segjax import losses
from segjax.data import Augment, Dataset
from segjax.layers import Normalized
from segjax.train import Experiment


class Squares:
    def __init__(self, size, seed):
        rng = np.random.default_rng(seed)
        self.records = []
        for _ in range(size):
            mask = np.zeros((16, 16), np.uint8)
            top, left = rng.integers(0, 9, 2)
            mask[top : top + 7, left : left + 7] = 1
            mask[0, 0] = 255
            noise = rng.integers(0, 40, (16, 16, 3))
            self.records.append({"image": (mask[..., None] % 255 * 150 + noise).astype(np.uint8), "mask": mask})

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class Small(nn.Module):
    width: int

    @nn.compact
    def __call__(self, image, *, train):
        x = nn.Conv(self.width, (3, 3), name="conv1")(image)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm1")(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Conv(2, (1, 1), name="head")(x)


def experiment(
    steps: int = 40,
    learning_rate: float = 3e-2,
    evaluate_every: int = 20,
    width: int = 8,
    train_size: int = 10,
    accumulate: int = 1,
    ema: float | None = None,
    patience: int | None = None,
    seed: int = 0,
) -> Experiment:
    """Two colours."""
    data = Dataset(
        name="squares",
        class_names=("ground", "square"),
        palette=((40, 40, 40), (240, 180, 60)),
        open=lambda split: Squares(*{"train": (train_size, 0), "val": (5, 2), "test": (7, 1)}[split]),
    )
    return Experiment(
        model=Normalized(Small(width), mean=(0.3,) * 3, std=(0.3,) * 3),
        data=data,
        loss=losses.cross_entropy,
        optimizer=optax.adam(learning_rate),
        steps=steps,
        batch_size=4,
        augment=Augment(flip_horizontal=True),
        evaluate_every=evaluate_every,
        seed=seed,
        accumulate=accumulate,
        ema=ema,
        patience=patience,
    )
'''


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin anew where too many programs are kept."""
    kept = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    if "PYTEST_XDIST_WORKER" not in os.environ and sum(one.stat().st_size for one in kept.glob("*")) > _MOST_KEPT:
        shutil.rmtree(kept)


def pytest_collection_finish() -> None:
    """Look less often for garbage among millions of objects that stay, which took an eighth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Look for no more garbage at the end, as pytest does five times over all that jax remembers."""
    gc.freeze()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: a third of the time tests wait for the processes that they start."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, 6)


@pytest.fixture(scope="session", autouse=True)
def shared_contexts() -> None:
    """In each of pytest's processes, once its tests have imported jax."""
    share_contexts()


@pytest.fixture(autouse=True)
def same_flags() -> Iterator[None]:
    """Refuse a test that leaves other `XLA_FLAGS` to those after it, which would compute in other ways by them."""
    before = os.environ.get("XLA_FLAGS")
    yield
    assert os.environ.get("XLA_FLAGS") == before


@pytest.fixture(autouse=True)
def without_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """In rooms of what others call, under whatever settings they have: jax refuses what it would promote by itself."""
    if request.path.parent.name not in WITHOUT_PROMOTION:
        yield
        return
    import jax

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="session")
def squares_text() -> str:
    """What the experiment file holds."""
    return SQUARES


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """An experiment file that trains in a second or two."""
    path = tmp_path / "squares.py"
    path.write_text(SQUARES)
    return path


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Forks"]:
    """Starts `segjax` commands that share what they compile, with those of pytest's other processes, too."""
    from forks import Forks

    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()

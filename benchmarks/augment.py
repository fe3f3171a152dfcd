"""How many augmented images a second the input pipeline gives: `python -m benchmarks.augment [THREADS]`.

320 x 320 images in memory, each scaled, rotated, cropped to 256 x 256, flipped and recoloured, in batches of 16: by
the host's threads and, as `--augment device` does, by the device. The host's goal is 400 images a second with 2 threads
on 2 cores.
"""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.asked import parser
from segjax import data
from segjax.cli.arguments import count
from segjax.data import Augment, Record
from segjax.train.augmented import augmented

BATCH_SIZE = 16
BATCHES = 40
ROUNDS = 5
AUGMENT = Augment(
    crop=(256, 256),
    flip_horizontal=True,
    flip_vertical=True,
    scale=(0.75, 1.5),
    rotate=20,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
)


def photographs(count: int = 32) -> list[Record]:
    rng = np.random.default_rng(0)
    return [
        Record(
            image=rng.integers(0, 256, (320, 320, 3), dtype=np.uint8),
            mask=rng.integers(0, 21, (320, 320), dtype=np.uint8),
        )
        for _ in range(count)
    ]


def on_host(threads: int) -> tuple[list[float], float]:
    """Images a second in each round, and processor seconds for an image, which a busy machine changes little."""
    batches = data.train_batches(photographs(), BATCH_SIZE, seed=0, augment=AUGMENT, threads=threads)
    for _ in range(4 * threads):  # fills what is computed ahead
        next(batches)
    return _rates(lambda: next(batches))


def on_device() -> tuple[list[float], float]:
    """The same of batches that are on the device already."""
    records = photographs(BATCH_SIZE)
    batch = jax.device_put({name: np.stack([record[name] for record in records]) for name in ("image", "mask")})
    change = jax.jit(lambda batch, key: augmented(batch, key, AUGMENT, None))
    keys = iter(jax.random.split(jax.random.key(0), ROUNDS * BATCHES + 1))
    jax.block_until_ready(change(batch, next(keys)))
    return _rates(lambda: jax.block_until_ready(change(batch, next(keys))))


def _rates(one_batch: Callable[[], object]) -> tuple[list[float], float]:
    rates, processor = [], time.process_time()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(BATCHES):
            one_batch()
        rates.append(BATCHES * BATCH_SIZE / (time.perf_counter() - began))
    return rates, (time.process_time() - processor) / (ROUNDS * BATCHES * BATCH_SIZE)


def main() -> None:
    asked = parser(__doc__)
    asked.add_argument("threads", type=count, nargs="?", default=2, metavar="THREADS", help="of the host (%(default)s)")
    threads = asked.parse_args().threads
    measured = {f"{threads} threads": on_host(threads), jax.devices()[0].device_kind: on_device()}
    for where, (rates, seconds) in measured.items():
        print(
            f"{statistics.median(rates):.0f} images/s with {where} ({min(rates):.0f} to {max(rates):.0f}), "
            f"{seconds * 1e3:.2f} ms of processor time an image"
        )


if __name__ == "__main__":
    main()

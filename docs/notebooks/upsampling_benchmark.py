# %% [markdown]
# # Compare upsamplers
#
# The same encoder, the same decoder, the same data and the same seeds; only the upsampler differs. With three seeds
# an interval says what of a difference is chance. `python -m benchmarks.upsampling` does it in every decoder, with
# matched parameters, boundaries and times, and writes [the report](../../benchmarks/upsampling/quick/report.md).

# %%
import statistics
from pathlib import Path

import numpy as np
from PIL import Image

import segjax

UPSAMPLERS, SEEDS, STEPS = ("nearest", "conv_transpose_2x2", "max_unpool", "dysample"), (0, 1, 2), 100
ROOT = Path("rings")

rng = np.random.default_rng(0)
for folder in ("images", "masks"):
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
for number in range(40):
    y, x = np.mgrid[:48, :48]
    distance = np.hypot(y - rng.integers(12, 36), x - rng.integers(12, 36))
    ring = (distance > 6) & (distance < 9)  # thin: what a coarse grid loses
    image = rng.integers(0, 120, (48, 48, 3)) + 110 * ring[..., None]
    Image.fromarray(image.astype(np.uint8)).save(ROOT / "images" / f"{number}.png")
    Image.fromarray(ring.astype(np.uint8)).save(ROOT / "masks" / f"{number}.png")

# %%
scores = {}
for upsample in UPSAMPLERS:
    for seed in SEEDS:
        experiment = segjax.experiment(
            "folder", root=str(ROOT), upsample=upsample, width=8, depth=2, steps=STEPS, evaluate_every=STEPS, seed=seed
        )
        run = segjax.train(experiment, out=f"runs/rings/{upsample}/{seed}")
        scores.setdefault(upsample, []).append(run.report()["test"]["miou"])

# %% [markdown]
# Student's interval of 95% over the seeds.

# %%
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
for upsample, values in scores.items():
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    half = STUDENT.get(len(values), 1.96) * spread / len(values) ** 0.5
    print(f"{upsample:<20} mIoU {statistics.fmean(values):.3f} ± {half:.3f}")

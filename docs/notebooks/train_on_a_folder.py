# %% [markdown]
# # Train on a folder
#
# Images and masks with the same names, side by side in `images/` and `masks/`: that is a data set. The ones here are
# drawn, so that the notebook runs anywhere; put the path of yours instead.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

import segjax

STEPS, WIDTH, DEPTH = 100, 8, 2
ROOT = Path("discs")

rng = np.random.default_rng(0)
for folder in ("images", "masks"):
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
for number in range(30):
    y, x = np.mgrid[:48, :64]
    disc = (y - rng.integers(10, 38)) ** 2 + (x - rng.integers(10, 54)) ** 2 < 90
    image = rng.integers(0, 120, (48, 64, 3)) + 110 * disc[..., None]
    Image.fromarray(image.astype(np.uint8)).save(ROOT / "images" / f"{number}.png")
    Image.fromarray(disc.astype(np.uint8)).save(ROOT / "masks" / f"{number}.png")

# %% [markdown]
# Every problem of the folder at once, before anything is trained. In a shell: `segjax data check discs`.

# %%
report = segjax.data.check(ROOT)
report.errors, report.notes

# %% [markdown]
# Classes, size of crops, normalisation and class weights come from the data. In a shell:
# `segjax train folder --root discs --out runs/discs`.

# %%
experiment = segjax.experiment("folder", root=str(ROOT), width=WIDTH, depth=DEPTH, steps=STEPS, evaluate_every=STEPS)
run = segjax.train(experiment, out="runs/discs")
run.report()["test"]

# %% [markdown]
# `runs/discs/report.html` shows the curves, the classes, and the images where it is worst. What was learned, on one
# image; `segjax predict runs/discs PATH --out predictions` does whole folders.

# %%
model, variables = segjax.load(run.path, experiment=experiment)
image = np.asarray(Image.open(ROOT / "images" / "0.png"))
mask = segjax.inference.predict_mask(model, variables, image)
Image.fromarray(segjax.drawing.grey_overlay(image, mask, experiment.data.palette))

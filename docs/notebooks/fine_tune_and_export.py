# %% [markdown]
# # Fine-tune and export
#
# An encoder begins with its weights of ImageNet, which are fetched once and verified; with `START = None` it begins
# with random numbers.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

import segjax
from segjax.export import export_model, read_metadata

ENCODER, START, STEPS = "mobilenet_v2", "imagenet", 100
ROOT = Path("squares")

rng = np.random.default_rng(0)
for folder in ("images", "masks"):
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
for number in range(30):
    image, mask = rng.integers(0, 120, (64, 64, 3)), np.zeros((64, 64), np.uint8)
    top, left = rng.integers(4, 36, 2)
    image[top : top + 24, left : left + 24] += 110
    mask[top : top + 24, left : left + 24] = 1
    Image.fromarray(image.astype(np.uint8)).save(ROOT / "images" / f"{number}.png")
    Image.fromarray(mask).save(ROOT / "masks" / f"{number}.png")

# %% [markdown]
# In a shell: `segjax train folder --root squares --encoder mobilenet_v2 --decoder fpn --start imagenet
# --encoder-rate 0.1 --out runs/squares`. Images are normalised as those that the weights were trained on.

# %%
experiment = segjax.experiment(
    "folder",
    root=str(ROOT),
    encoder=ENCODER,
    decoder="fpn",
    start=START,
    encoder_rate=0.1,
    steps=STEPS,
    batch_size=4,
    evaluate_every=STEPS,
)
run = segjax.train(experiment, out="runs/squares")
run.report()["test"]["miou"]

# %% [markdown]
# One file for ONNX Runtime, which takes images as they are stored, with the normalisation inside. It is compared with
# the model on three images before it is written. In a shell: `segjax export runs/squares --format onnx --out
# squares.onnx`.

# %%
model, variables = segjax.load(run.path, experiment=experiment)
images = [np.asarray(Image.open(ROOT / "images" / f"{number}.png")) for number in range(3)]
exported = export_model(model, variables, "squares.onnx", "onnx", images, size=(64, 64))
print(exported.difference)

# %%
import onnxruntime

session = onnxruntime.InferenceSession("squares.onnx")
(probabilities,) = session.run(None, {session.get_inputs()[0].name: images[0][None]})
mask = segjax.inference.predict_mask(model, variables, images[0])
assert (probabilities[0].argmax(-1) == mask).mean() > 0.99
read_metadata("squares.onnx")["input"]

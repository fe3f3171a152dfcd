"""Which model goes into which format: `python -m benchmarks.exports`, which writes docs/export.md; 10 minutes.

Every model, small and of random weights, is exported for two photos of scikit-learn's, and compared there.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import flax.linen as nn
import jax
import numpy as np
from sklearn.datasets import load_sample_images

from benchmarks.asked import parser
from benchmarks.report import machine, markdown, versions
from segjax import decoders, encoders, models, upsampling
from segjax.errors import ExportError
from segjax.export import TOLERANCE, Format, export_model, stablehlo
from segjax.export.exporting import TOLERANCES
from segjax.export.int8 import LARGEST_LOSS
from segjax.export.program import program_of
from segjax.export.tflite import INSTALL
from segjax.layers import ConvBlock, Normalized

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
SIZE = (96, 128)
HEAD = """# Exports

`segjax export RUN --format stablehlo|onnx|tflite --out FILE` writes a trained or a saved model as one file for another
runtime, `--format html` as [a page](serve.md) that runs it in the browser; `segjax.export.export_model` and
`export_page` do it in Python. The file takes images (n h w c) as they are stored, with the normalisation inside, and
gives `probabilities` (n h w k), with `--argmax` a `mask` (n h w), or `boxes`, `labels` and
`scores`. It is compared with the model as it is made, on three images of the run's test split or those of `--images`,
in the runtime it is for: where it differs by more than {tolerance:.0e} in probability, or in sides of the image for
boxes, nothing is written.

| format | needs | runs with | batch | height and width |
|---|---|---|---|---|
| `stablehlo` | `segjax[export]` | jax on CPU, CUDA and TPU, without segjax | any | one size, or any |
| `onnx` | `segjax[export]` | ONNX Runtime, opset 18 | any | one size |
| `tflite` | `{litert}` | LiteRT | one | one size |
| `html` | `segjax[export]`, npm | any browser | one | one size |

ONNX is written from what jax traces, by segjax itself, in the nodes that runtimes have kernels for
(`python -m benchmarks.export_latency` sets its files [beside PyTorch's](results.md)); TFLite by LiteRT's
converter, without TensorFlow. What the file says of itself (input, outputs, class names, palette, licence, how it was
compared) `segjax.export.read_metadata(file)` reads; without segjax it is in ONNX's `metadata_props`, and otherwise in a
zip archive behind the model:

```python
import json, zipfile

import jax

exported = jax.export.deserialize(bytearray(open("model.stablehlo", "rb").read()))
probabilities = exported.call(images)["probabilities"]
class_names = json.loads(zipfile.ZipFile("model.stablehlo").read("metadata.json"))["class_names"]
```

## Smaller files

`--dtype float16` or `bfloat16` stores kernels in 16 bits, which are computed with in float32; TFLite takes float16
alone. Such a file may differ by {float16:.0e} or {bfloat16:.0e}. `--int8` quantises the network of a run to 8 bits, in
ONNX and TFLite: ranges come from up to 64 images of the run's training split, and kernels have one for each channel.
The network is scored on the validation split before and after; where it loses more than {lost} of the task's score,
nothing is written. What it lost is printed and stays in the metadata, under `int8`.

## Any size

With `--dynamic` StableHLO takes images of any multiples of 32 rows and columns: where windows lie side by side, taps of
a resizing are found when the program runs. A model with a part that has to know the size while it is traced, as
overlapping pooling windows have, is refused by a sentence that names the part.

## What goes where

`python -m benchmarks.exports`: random weights, two photos of {size[0]}x{size[1]} pixels. A cell has the largest
difference from the model on them, in probability or sides of the image, and the size of the file. {where}
"""
Made = tuple[str, nn.Module]


def cases() -> Iterator[Made]:
    """Every model of the table: U-Net with every upsampler, and one of every other kind."""
    for name, upsample in upsampling.BY_NAME.items():
        yield f"U-Net, `{name}`", models.unet(4, 8, depth=2, convs=1, upsample=upsample, block=ConvBlock)
    yield "SegNet, max-unpooling", models.segnet(4, 8)
    yield "DeepLabV3+, MobileNetV2", models.smp_deeplabv3plus(encoders.BY_NAME["mobilenet_v2"](), num_classes=4)
    yield "SegFormer, MiT-B0", models.smp_segformer(encoders.BY_NAME["mit_b0"](), num_classes=4)
    encoder = encoders.ConvEncoder(((8,), (16,), (16,)), ConvBlock)
    decoder = decoders.UNetDecoder(upsample=upsampling.Bilinear, block=ConvBlock, finest_stride=2)
    yield "CenterNet", models.CenterNet(4, encoder, decoder, hidden=16, block=partial(ConvBlock, norm=None))


def cell(model: nn.Module, variables: Any, format: Format, photos: list[np.ndarray]) -> str:
    """The difference and the size of a file, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            written = export_model(model, variables, Path(folder) / f"a.{format}", format, photos, size=SIZE)
        except ExportError as error:
            return str(error)
        return f"{written.difference:.1e}, {written.bytes / 1e6:.2f} MB"


def any_size(model: nn.Module, variables: Any) -> str:
    """Whether StableHLO takes images of any size, or what stands in the way."""
    try:
        stablehlo.convert(program_of(model, variables, None))
    except ExportError as error:
        return str(error)
    return "yes"


def main() -> None:
    """Exports all and writes the page."""
    photos = [photo[100 : 100 + SIZE[0], 200 : 200 + SIZE[1]] for photo in load_sample_images().images]
    found = versions("jax", "onnxruntime", "litert-converter", "ai-edge-litert")
    where = f"{machine()}; {', '.join(f'{name} {version}' for name, version in found.items())}."
    head = HEAD.format(tolerance=TOLERANCE, **TOLERANCES, lost=LARGEST_LOSS, litert=INSTALL, size=SIZE, where=where)
    rows = []
    for name, net in cases():
        model = Normalized(net, (0.48, 0.45, 0.40), (0.27, 0.26, 0.27))
        image = np.zeros((1, *SIZE, 3), np.float32)
        variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), image)
        cells = [cell(model, variables, format, photos) for format in get_args(Format)]
        rows.append([name, *cells, any_size(model, variables)])
        print(*rows[-1], sep=" | ", flush=True)
        PAGE.write_text(head + "\n" + markdown(["model", *get_args(Format), "stablehlo, any size"], rows) + "\n")


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()

"""Every decoder on an encoder of every family with every upsampler: `python -m benchmarks.matrix`.

Shapes alone are computed, of an odd image in training, and docs/matrix.md is written; minutes on two CPU cores.
"""

import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.asked import parser
from benchmarks.report import markdown
from segjax import decoders, encoders, upsampling
from segjax.level import Level, from_image

FAMILIES = {
    "ResNet": "resnet18",
    "VGG": "vgg11",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3_small",
    "EfficientNet": "efficientnet_b0",
    "RegNetY": "regnety_002",
    "DenseNet": "densenet121",
    "HRNet": "hrnet_w18",
    "ConvNeXt": "convnextv2_atto",
    "MiT": "mit_b0",
    "Swin V2": "swinv2_tiny",
    "ViT": "vit_tiny",
    "DINOv2": "dinov2_small",
}
SIZE = (65, 97)
HEAD = """# Decoders, encoders, upsamplers

`python -m benchmarks.matrix`: every decoder on one encoder of every family, with every upsampler as its `upsample`, on
an image of {rows}x{columns} in training, by shapes alone (`jax.eval_shape`), as `segjax train` puts them together:
with `upsampling.places`. Families whose levels are alike in strides, indices and tokens are computed once. A cell says
how many of the {count} upsamplers run; what does not is below, with the sentence that it gives.
"""
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
IMAGE = jax.ShapeDtypeStruct((2, *SIZE, 3), jnp.float32)


def levels_of(encoder: str) -> tuple[Level, ...]:
    """Shapes of what an encoder by name gives."""
    run = partial(encoders.BY_NAME[encoder]().init_with_output, train=True)
    return jax.eval_shape(run, KEYS, IMAGE)[0]  # type: ignore[return-value]


def refused(decoder: str, upsample: str, levels: tuple[Level, ...]) -> str | None:
    """Why a decoder with an upsampler does not run on an encoder's levels; None where it does."""
    climb = upsampling.BY_NAME[upsample]
    made = decoders.named(decoder, upsample=climb)
    levels = from_image(levels, IMAGE, upsampling.places(climb))  # type: ignore[arg-type]
    try:
        found = jax.eval_shape(partial(made.init_with_output, train=True), KEYS, levels)[0]
    except ValueError as error:
        return str(error)
    for level in found:
        assert level.features.shape[1:3] == level.size
    return None


def main() -> None:
    """Computes all and writes the page."""
    why: dict[str, list[tuple[str, str, str]]] = {}
    rows = []
    levels = {family: levels_of(encoder) for family, encoder in FAMILIES.items()}
    # What a decoder does with levels hangs on their strides, indices and tokens: those that are alike in all of these
    # are computed once.
    kinds = {family: jax.tree.structure(of) for family, of in levels.items()}
    for decoder in decoders.BY_NAME:
        row = [f"`{decoder}`"]
        known: dict[object, dict[str, str | None]] = {}
        for family in FAMILIES:
            if kinds[family] not in known:
                known[kinds[family]] = {name: refused(decoder, name, levels[family]) for name in upsampling.BY_NAME}
            found = known[kinds[family]]
            for name, sentence in found.items():
                if sentence is not None:
                    why.setdefault(sentence, []).append((decoder, family, name))
            row.append(str(sum(sentence is None for sentence in found.values())))
            print(decoder, family, row[-1], flush=True)
        rows.append(row)
    page = [HEAD.format(rows=SIZE[0], columns=SIZE[1], count=len(upsampling.BY_NAME))]
    page += [f"Encoders: {', '.join(f'{family} `{name}`' for family, name in FAMILIES.items())}.\n"]
    page += [markdown(["decoder", *FAMILIES], rows), "\n## What does not run\n"]
    for sentence, cells in why.items():
        page.append(f"> {sentence}\n")
        for upsample, group in itertools.groupby(sorted(cells, key=lambda cell: cell[2]), key=lambda cell: cell[2]):
            by_decoder: dict[str, list[str]] = {}
            for decoder, family, _ in group:
                by_decoder.setdefault(decoder, []).append(family)
            said = "; ".join(f"`{decoder}` on {', '.join(families)}" for decoder, families in by_decoder.items())
            page.append(f"- `{upsample}`: {said}\n")
    Path(__file__).parents[1].joinpath("docs", "matrix.md").write_text("\n".join(page))


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()

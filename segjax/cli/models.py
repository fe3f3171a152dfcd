"""The command that says how large models are."""

import argparse
from typing import TYPE_CHECKING, Any

from segjax.cli.say import fail
from segjax.strict_json import as_json

if TYPE_CHECKING:
    import flax.linen as nn


def models(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax models`: what there is, with parameters and FLOPs; or one decoder on one encoder."""
    if parsed.decoder is not None and parsed.encoder is not None:
        return _one(parsed)
    if parsed.decoder or parsed.encoder or parsed.upsampler or parsed.size:
        return fail("name both for one combination: --decoder unet --encoder resnet34; neither lists what there is.")
    from segjax.models.summary import SIZE, listed

    table = listed()
    if parsed.json:
        print(as_json(table, indent=2))
        return 0
    heads = {"published": "published model", "decoders": "decoder, of 21 classes", "encoders": "encoder"}
    for kind, rows in table.items():
        print(f"{heads[kind]:<26}{'parameters':>14}{f'FLOPs at {SIZE}x{SIZE}':>20}{'on a CPU':>13}")
        for row in rows:
            more = row.get("paper") or (f"on {row['encoder']}" if "encoder" in row else "")
            sizes = f"{row['parameters']:>14,}{row['flops'] / 1e9:>18.2f} G{row['peak_memory'] / 2**20:>9,.0f} MiB"
            print(f"{row['name']:<26}{sizes}   {more}".rstrip())
        print()
    print("`segjax models --decoder NAME --encoder NAME` says it of one combination, on this device.")
    return 0


def _one(parsed: argparse.Namespace) -> int:
    from segjax.export.program import MOST_PIXELS
    from segjax.models.summary import SIZE, combination

    if (parsed.size or SIZE) ** 2 > MOST_PIXELS:  # beyond, compiling alone takes gigabytes
        return fail(
            f"--size is {parsed.size}: what a larger image than one of {MOST_PIXELS / 1e6:.0f} megapixels takes grows "
            "with its area."
        )
    model = combination(parsed.decoder, parsed.encoder, parsed.upsampler)
    try:
        found = _sizes(model, parsed.size or SIZE)
    except ValueError as error:  # as a max-unpooling beside an encoder that does not pool
        return fail(str(error))
    row = {"decoder": parsed.decoder, "encoder": parsed.encoder, "upsampler": parsed.upsampler} | found
    if parsed.json:
        print(as_json(row, indent=2))
        return 0
    print(f"{parsed.decoder} on {parsed.encoder}, one image of {found['size']}x{found['size']}, 21 classes")
    print(f"  parameters   {found['parameters']:,}")
    print(f"  FLOPs        {found['flops'] / 1e9:.2f} G, of convolutions and matrix products")
    print(f"  peak memory  {found['peak_memory'] / 2**20:.0f} MiB, of the program for this {found['device']}")
    return 0


def _sizes(model: "nn.Module", size: int) -> dict[str, Any]:
    import jax

    from segjax.models.summary import size_of

    device = jax.devices()[0].device_kind
    return {"size": size} | size_of(model, size) | {"device": device}

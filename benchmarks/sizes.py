"""What `segjax models` lists: `python -m benchmarks.sizes`, minutes on two CPU cores.

Nothing is run: every model is compiled for this CPU, and segjax/models/sizes.json is written.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax

from benchmarks.asked import parser
from segjax import decoders, encoders, models
from segjax.eigen import convolve_by_eigen
from segjax.models.summary import TABLE, combination, size_of

ENCODER = "resnet34"
"""That decoders are listed with, where they can do with it."""
ENCODERS = {"segnet": "vgg16_bn", "dpt": "vit_base"}


def rows(models: Mapping[str, nn.Module], **more: Callable[[str], str]) -> Iterable[dict[str, Any]]:
    for name, model in models.items():
        row = {"name": name} | {key: value(name) for key, value in more.items()} | size_of(model)
        jax.clear_caches()
        print(row, flush=True)
        yield row


def main() -> None:
    """Computes all and writes the table."""
    # Machine code of its best takes long to make, and has buffers of the same sizes.
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    convolve_by_eigen()

    def beneath(decoder: str) -> str:
        return ENCODERS.get(decoder, ENCODER)

    def paper(name: str) -> str:
        return (models.PUBLISHED[name].__doc__ or "").strip().splitlines()[0]

    published = {name: make() for name, make in models.PUBLISHED.items()}
    climbs = {name: combination(name, beneath(name)) for name in decoders.BY_NAME}
    table = {
        "published": list(rows(published, paper=paper)),
        "decoders": list(rows(climbs, encoder=beneath)),
        "encoders": list(rows({name: make() for name, make in encoders.BY_NAME.items()})),
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()

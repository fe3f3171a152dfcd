"""The commands on weights: which there are, and whether they are what they should be."""

import argparse
import math
from typing import TYPE_CHECKING, Any

from segjax.cli.say import fail
from segjax.errors import DataError
from segjax.strict_json import as_json

if TYPE_CHECKING:
    from segjax.weights import Record

_NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")
Errors = dict[str, dict[str, float]]
"""The largest of every level, by the photo's preparation and the level's shape."""


def weights_list(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax weights`: every set of weights with its encoder, parameters, licence and source."""
    from segjax.weights import RECORDS

    if parsed.json:
        print(as_json([_row(record) for record in RECORDS.values()], indent=2))
        return 0
    wide = 1 + max(map(len, RECORDS))
    print(f"{'weights':<{wide}}{'encoder':<20}{'parameters':>12}   licence, and where from")
    for one in RECORDS.values():
        licence = one.licence.partition(";")[0].partition(":")[0]
        print(f"{one.name:<{wide}}{one.encoder:<20}{one.parameters:>12,}   {licence}; {one.source}")
    return 0


def weights_check(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax weights check NAME`: fetch them, load them, and compare the encoder's maps with PyTorch's."""
    from segjax.weights import named
    from segjax.weights.parity import LIMIT

    record = named(parsed.name)
    path, arrays = record.fetch(), record.read()
    parameters = sum(math.prod(a.shape) for name, a in arrays.items() if not name.endswith(_NO_PARAMETERS))
    in_encoder, errors, notes = _compared(record)
    worst = max((error for levels in errors.values() for error in levels.values()), default=0.0)
    right = parameters == record.parameters and worst <= LIMIT
    if parsed.json:
        found = {"file": str(path), "arrays": len(arrays), "arrays_of_encoder": in_encoder, "errors": errors}
        print(as_json(_row(record) | found | {"notes": notes, "right": right}, indent=2))
        return 0 if right else 1
    if record.sha256:
        checked = f"sha256 {record.sha256} as recorded"
    elif getattr(record.source, "pinned", True):
        checked = "pinned by a commit of the hub"
    else:
        checked = "as the hub's branch had it when it was fetched: no checksum is recorded"
    print(f"{record.name}: {record.licence}\n  file     {path}, {checked}")
    print(f"  arrays   {len(arrays)} with {parameters:,} parameters, of {record.parameters:,} recorded")
    if in_encoder:
        print(f"  encoder  {record.encoder}: its {in_encoder} arrays are all there, and of the right shapes")
    for run, levels in errors.items():
        print(f"  parity   {run}: " + ", ".join(f"{shape} {error:.1e}" for shape, error in levels.items()))
    for note in notes:
        print(f"  {note}")
    return 0 if right else fail(f"{record.name} is not what it should be (errors up to {LIMIT:.0e} are rounding).")


def _row(record: "Record") -> dict[str, Any]:
    """A record as JSON has it."""
    kept = ("name", "encoder", "parameters", "licence", "paper", "sha256", "size", "classes", "channels")
    return {name: getattr(record, name) for name in kept} | {"source": str(record.source)} | record.statistics


def _compared(record: "Record") -> tuple[int, Errors, list[str]]:
    """How many arrays the encoder has, its errors, and what could not be compared."""
    import jax
    import numpy as np

    from segjax import encoders
    from segjax.weights import load
    from segjax.weights.parity import photo, references

    if record.encoder not in encoders.BY_NAME:
        return 0, {}, [f"segjax has no encoder {record.encoder}: names and shapes were not compared."]
    encoder = encoders.BY_NAME[record.encoder]()
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(lambda image: encoder.init(jax.random.key(0), image, train=False), image)
    variables = load(encoder, shapes, record.name)
    count = len(jax.tree.leaves(variables))
    known = references(record.name)
    if not known:
        return count, {}, ["No maps of PyTorch's are kept of these: names and shapes alone were compared."]
    errors: Errors = {}
    of = {name: np.array(values) for name, values in record.statistics.items()}
    for run, stages in known.items():
        try:
            pixels = photo(run, record.size)
        except DataError as error:
            return count, {}, [str(error)]
        seen = ((pixels / 255 - of["mean"]) / of["std"]).astype(np.float32)[None]
        levels = jax.jit(lambda variables, x: encoder.apply(variables, x, train=False))(variables, seen)
        by_shape = {stage.shape: stage for stage in stages}
        errors[run] = {}
        for level in levels:
            features = np.asarray(level.features[0])
            stage = by_shape.get(features.shape)  # a level that torch does not have is as wrong as can be
            name = "x".join(map(str, features.shape))
            errors[run][name] = math.inf if stage is None else stage.error(features)
    return count, errors, []

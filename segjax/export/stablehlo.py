"""StableHLO, as `jax.export` writes it: one file for CPU, CUDA and TPU, which needs jax alone to run.

exported = jax.export.deserialize(bytearray(open(file, "rb").read()))
outputs = exported.call(images)
"""

import importlib.util
import traceback

import jax
import numpy as np
from jax import export

from segjax.errors import ExportError
from segjax.export.process import run_alone
from segjax.export.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")
_RUN = """
import jax

outputs = jax.export.deserialize(bytearray(open(path, "rb").read())).call(images)
"""


def convert(program: Program) -> bytes:
    """The serialised program, of any batch; and of any multiples of 32 rows and columns where its size is None.

    Raises:
        ExportError: flatbuffers is not installed, or a part of the model needs to know the size; the sentence says
            which.
    """
    if importlib.util.find_spec("flatbuffers") is None:  # jax asks for it when all is compiled
        raise ExportError("StableHLO needs flatbuffers: `pip install 'segjax[export]'`.")
    try:
        n, height, width = export.symbolic_shape("n, 32*h, 32*w")
        image = program.image(n, program.size or (height, width))
        exported = export.export(jax.jit(program.run), platforms=PLATFORMS)(image)
    except Exception as error:
        if program.size is not None:
            raise
        names = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)]
        part = next(name for name in reversed(names) if name.startswith("segjax."))
        raise ExportError(
            f"The model cannot take images of any size, as {part} has to know theirs ({type(error).__name__}): say "
            "--size HEIGHT WIDTH."
        ) from error
    return bytes(exported.serialize())


def outputs_of(path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the file's program gives for images (n h w c), in a process of its own that knows nothing of segjax.

    Raises:
        ExportError: it cannot be run there.
    """
    return run_alone(_RUN, path, images)

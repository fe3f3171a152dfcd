"""An exported file run in a process of its own, that knows nothing of segjax and may die of it."""

import io
import subprocess
import sys

import numpy as np

from segjax.errors import ExportError

_AROUND = """
import io, sys
import numpy as np

path, images = sys.argv[1], np.load(io.BytesIO(sys.stdin.buffer.read()))
{run}
assert "segjax" not in sys.modules
file = io.BytesIO()
np.savez(file, **outputs)
sys.stdout.buffer.write(file.getvalue())
"""


def run_alone(run: str, path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """What Python code gives as `outputs`, arrays by name, from a file at `path` and `images`.

    Raises:
        ExportError: it does not end well; what it said last is in the sentence.
    """
    sent = io.BytesIO()
    np.save(sent, images)
    command = [sys.executable, "-c", _AROUND.format(run=run.strip()), path]
    done = subprocess.run(command, input=sent.getvalue(), capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = [line for line in lines if not line.startswith("INFO:")] or [
            f"nothing, and ended with {done.returncode}"
        ]
        raise ExportError(f"The file does not run where it was made for, which said: {said[-1][:300]}")
    with np.load(io.BytesIO(done.stdout)) as arrays:
        return dict(arrays)

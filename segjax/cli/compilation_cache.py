"""What was compiled is kept on disk, by jax, for the next run with the same step."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from segjax.cache import data_dir


def keep_compiled_programs() -> None:
    """Keep what is compiled, in `compiled` beside the data, so that the next run with the same step starts at once.

    A folder that jax was given before (`JAX_COMPILATION_CACHE_DIR`) is used instead; `JAX_ENABLE_COMPILATION_CACHE=0`
    keeps nothing.
    """
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(data_dir() / "compiled"))
    folder = Path(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    warnings.showwarning = _mending(folder, warnings.showwarning)


def _mending(folder: Path, show: Callable[..., None]) -> Callable[..., None]:
    """Remove a damaged program instead of warning of it, before jax, which compiles it again, looks whether to write.

    A kill while jax writes a program leaves a part of it. Jax never replaces a file that is there, and would warn and
    compile at every later start. Its warning has the program's name, but not which of those with that name it is.
    """

    def shown(message: Warning | str, *where: Any, **more: Any) -> None:
        damaged = re.match(r"Error reading persistent compilation cache entry for '([^']+)'", str(message))
        if damaged is None:
            show(message, *where, **more)
            return
        for program in folder.glob(f"{damaged[1]}-*-cache"):
            program.unlink(missing_ok=True)

    return shown

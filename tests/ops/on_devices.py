"""Programs of their own, as the devices have to be asked for before jax starts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import segjax


def found_on(devices: int, program: str) -> Any:
    """What a program beside this file prints as JSON where jax sees so many CPUs."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(segjax.__file__).parents[1]),
    }
    file = Path(__file__).with_name(program)
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

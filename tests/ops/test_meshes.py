import json
import os
import subprocess
import sys
from pathlib import Path

from once import FLAGS

import segjax


def test_everything_has_its_gradients_on_an_explicit_mesh_and_inside_shard_map():
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=2 {FLAGS}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(segjax.__file__).parents[1]),
    }
    program = Path(__file__).with_name("on_meshes.py")
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 50
    for name, miss in found.items():
        assert max(miss.values()) < 1e-5, (name, miss)

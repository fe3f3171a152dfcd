import json
import os
import subprocess
import sys
from pathlib import Path

from once import FLAGS

from segjax import ops


def test_a_split_batch_costs_no_communication_and_changes_nothing():
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {FLAGS}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(ops.__file__).parents[2]),
    }
    program = Path(__file__).with_name("sharded_ops.py")
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    untested = (
        set(ops.__all__)
        - {name.split(",")[0] for name in results}
        - {"Augmented", "PoolIndices", "CenterTargets", "Peaks"}
    )
    assert not untested
    for name, result in results.items():
        assert (name, result["forward"], result["forward and gradient"]) == (name, [], result["expected"])
        assert result["misses by"] < 1e-5, name
        assert result["repeats"], name

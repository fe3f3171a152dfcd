"""What docs/pods/ holds for clusters is what their own tools take."""

import subprocess
from pathlib import Path

import pytest
import yaml

PODS = Path(__file__).parents[2] / "docs" / "pods"


@pytest.mark.parametrize("name", ["gpus.yaml", "tpus.yaml"])
def test_manifests_keep_to_the_schemas_of_kubernetes(name: str):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    resources = list(yaml.safe_load_all((PODS / name).read_text("utf-8")))
    for resource in resources:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    (job,) = [resource for resource in resources if resource["kind"] == "Job"]
    assert job["spec"]["completionMode"] == "Indexed"  # by which segjax knows it
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    (service,) = [resource for resource in resources if resource["kind"] == "Service"]
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}


def test_slurm_takes_the_script():
    script = PODS / "slurm.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    try:
        running = subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=10).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        running = False
    if not running:
        pytest.skip("SLURM is not running; `.ci/slurm-one-node.sh start` starts it")
    here = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=0"]
    done = subprocess.run(["sbatch", "--test-only", *here, script, "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

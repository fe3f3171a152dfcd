from on_devices import found_on

from segjax import ops


def test_a_split_batch_costs_no_communication_and_changes_nothing():
    results = found_on(8, "sharded_ops.py")
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

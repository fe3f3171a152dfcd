import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from segjax.errors import DataError
from segjax.layers import Conv, batch_norm
from segjax.weights import convert


class Twin(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = Conv(6, 3, 1, use_bias=False, stride=2, name="layer1_0_0")(x)
        x = batch_norm(use_running_average=not train, name="layer1_0_1")(x)
        x = Conv(6, 3, 1, groups=3, name="head")(nn.relu(x))
        return nn.Dense(5, name="fc")(x.mean((1, 2)))


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(6)
        self.layer1 = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2, 1, bias=False), self.norm))
        self.head = torch.nn.Conv2d(6, 6, 3, 1, 1, groups=3)
        self.fc = torch.nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.head(self.layer1(x).relu()).mean((2, 3)))


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    reference = Torch()
    with torch.no_grad():
        reference.norm.running_mean.normal_()  # type: ignore[union-attr]
        reference.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    arrays = {name: value.numpy() for name, value in reference.state_dict().items()}
    state = {name: value for name, value in arrays.items() if not name.startswith("norm.")}
    return reference.eval(), state, jax.eval_shape(Twin().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def test_values_go_where_torch_has_them(twin):
    reference, state, like = twin
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3)).astype(np.float32)
    y = Twin().apply(convert.from_torch(state, like), x)
    expected = reference(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(np.asarray(y), expected, rtol=0, atol=1e-6)


def test_there_and_back_is_exact(twin):
    _, state, like = twin
    back = convert.to_torch(convert.from_torch(state, like))
    assert back.keys() == state.keys() - {"layer1.0.1.num_batches_tracked"}
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name])


ONE = {"kernel": np.zeros((2, 2), np.float32)}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"params": {"fc": ONE | {"scale": np.zeros(2)}}},
            "params/fc/kernel and params/fc/scale would both be fc.weight in torch's names: rename one, "
            "or save them in two files.",
        ),
        (
            {"params": {"fc": ONE}, "ema": {"fc": ONE}},
            "params/fc/kernel and ema/fc/kernel would both be fc.weight in torch's names: rename one, "
            "or save them in two files.",
        ),
        (
            {"layer": {"fc": ONE}},
            "These variables have no collection params, but layer: give them as `init` does, {'params': ...}.",
        ),
        (
            {"params": {"fc": {"kernel": jax.ShapeDtypeStruct((2, 2), np.float32)}}},
            "params/fc/kernel has a shape, (2, 2), and no values: give variables as `init` does, which "
            "`jax.eval_shape` only plans.",
        ),
    ],
)
def test_variables_that_no_state_dict_can_hold_are_refused(variables, said):
    with pytest.raises(DataError) as refused:
        convert.to_torch(variables)
    assert str(refused.value) == said


def test_names_are_brought_and_a_classifier_may_be_left(twin):
    _, state, like = twin
    dialect = {name.replace("layer1.0", "stem"): value for name, value in state.items()}
    dialect["classifier.weight"] = np.zeros((2, 2), np.float32)
    given = convert.from_torch(dialect, like, names=[(r"^stem\.", "layer1.0.")], unused=r"classifier\.")
    jax.tree.map(np.testing.assert_array_equal, given, convert.from_torch(state, like))


def test_all_misfits_are_said_at_once(twin):
    _, state, like = twin
    wrong = dict(state)
    del wrong["head.bias"]
    wrong["fc.bias"] = np.zeros(7, np.float32)
    wrong["fc.weight"] = np.zeros((7, 6), np.float32)
    wrong["layer1.0.1.weight"] = np.zeros((6, 1, 1, 1), np.float32)
    wrong["layer1.0.0.weight"] = np.float32(0)
    wrong |= {f"more.{i}.weight": np.zeros((1, 1), np.float32) for i in range(8)}
    with pytest.raises(DataError) as refused:
        convert.from_torch(wrong, like)
    for part in (
        "1 missing (head.bias)",
        "8 left over (more.0.weight, more.1.weight, more.2.weight, more.3.weight, more.4.weight, more.5.weight and 2",
        # As the file has them, whatever their layout and number of axes here.
        "4 of another shape (layer1.0.0.weight is (), expected (6, 3, 3, 3), "
        "layer1.0.1.weight is (6, 1, 1, 1), expected (6,), "
        "fc.weight is (7, 6), expected (5, 6), fc.bias is (7,), expected (5,))",
    ):
        assert part in str(refused.value)


def test_values_take_the_type_of_the_parameters(twin):
    _, state, like = twin
    halves = {name: value.astype(np.float16) for name, value in state.items()}
    given = convert.from_torch(halves, like)
    assert {leaf.dtype for leaf in jax.tree.leaves(given)} == {np.dtype(np.float32)}


def test_numbers_that_are_no_weights_are_refused(twin):
    _, state, like = twin
    quantised = {
        name: value.astype(np.int8) if value.ndim > 1 else value.astype(np.complex64) for name, value in state.items()
    }
    with pytest.raises(DataError, match=r"9 of numbers that are not floating \(layer1.0.0.weight is int8, layer1.0.1"):
        convert.from_torch(quantised, like)
    for value in (np.nan, np.inf):
        with pytest.raises(DataError, match=r"^1 of these weights are infinite or not a number \(fc.bias\), and so"):
            convert.from_torch(state | {"fc.bias": np.array([0, 1, value, 3, 4], np.float32)}, like)

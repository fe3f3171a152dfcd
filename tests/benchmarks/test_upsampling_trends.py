from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from benchmarks.upsampling import pretrained, trends
from benchmarks.upsampling.cells import CONTROL, PLAIN, TWIN, UPSAMPLERS, Cell, Place, Size
from benchmarks.upsampling.settings import QUICK
from benchmarks.upsampling.tables import Outcome


def outcome(
    effect: dict[str, float],
    noise: float = 0.004,
    seeds: int = 3,
    seed: int = 0,
    families: Iterable[str] = tuple(PLAIN),
    sizes: Iterable[Size] = ("published", "matched"),
) -> Outcome:
    """Runs whose scores are chance and the effects by name of a family, an upsampler, or both with a slash between."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.02, seeds)

    def row(family: str, name: str, seed: int) -> dict:
        more = sum(effect.get(key, 0.0) for key in (family, name, f"{family}/{name}"))
        value = 0.6 + shared[seed] + more
        board = 10 ** (effect.get(f"board/{name}", 0.0) / 10)
        return {
            "miou": value + noise * rng.normal(),
            "boundary_f1": value + noise * rng.normal(),
            "boundary_iou": value + effect.get(f"edge/{family}", 0.0) + noise * rng.normal(),
            "initial_checkerboard": {"2": board * np.exp(noise * rng.normal())},
            "checkerboard": {"2": board * np.exp(noise * rng.normal())},
        }

    runs = {
        Place("data", size, family, name): [row(family, name, seed) for seed in range(seeds)]
        for size in sizes
        for family in families
        for name in (*UPSAMPLERS, TWIN)
    }
    cells = {place: Cell(*place[:1], place.family, place.upsampler, 8, (8,)) for place in runs}
    return Outcome(QUICK, cells, runs, {})


def verdicts(found: Outcome) -> dict[str, str]:
    return {trend.claim: trend.verdict for trend in trends.trends(found, "data")}


def test_effects_that_are_there_are_found():
    effect = {
        "unet": 0.05,
        "edge/unet": 0.03,
        "segnet/max_unpool": 0.04,
        "unet_no_skips/max_unpool": -0.04,
        "board/conv_transpose_3x3": 12.0,
        "board/pixel_shuffle": 9.0,
    }
    effect |= {f"fcn/{name}": 0.03 for name in trends.LEARNED}
    found = verdicts(outcome(effect))
    assert len(found) == 13
    lost = "Max-unpooling beats bilinear in boundary F1 with matched parameters, U-Net, no skips"
    even = "Max-unpooling beats bilinear in boundary F1 with matched parameters, FCN"
    assert found.pop(lost) == "does not hold"
    del found[even]
    assert set(found.values()) == {"holds"}


def test_where_there_is_nothing_nothing_is_claimed():
    decided = claims = 0
    for seed in range(20):
        found = verdicts(outcome({}, seed=seed))
        assert found.pop(next(claim for claim in found if "none at all" in claim)) == "holds"
        assert found.pop(next(claim for claim in found if "1/64" in claim)) == "holds"
        found.pop(next(claim for claim in found if "itself" in claim))
        decided += sum(verdict != "undecided" for verdict in found.values())
        claims += len(found)
    assert decided <= stats.binom(claims, 0.05).ppf(0.999)  # an interval misses one time in twenty


def test_a_control_that_differs_from_itself_is_reported():
    found = verdicts(outcome({TWIN: 0.05}))
    assert next(verdict for claim, verdict in found.items() if "itself" in claim) == "does not hold"


def test_what_was_found_has_the_right_size_and_sign():
    found = {trend.claim: trend.found for trend in trends.trends(outcome({"unet": 0.05}, noise=0.0), "data")}
    assert found["Skips beat no skips in mIoU, over all upsamplers"] == "+5.0 points [+5.0, +5.0]"
    storage = next(text for claim, text in found.items() if "1/64" in claim)
    assert storage.endswith(": 1/64")
    one = next(trend for trend in trends.trends(outcome({"unet": 0.05}, seeds=1), "data") if "Skips" in trend.claim)
    assert one.verdict == "undecided"
    assert one.found.endswith("points, from one seed")


def test_a_missing_operator_is_no_trouble():
    whole = outcome({})
    runs = {place: rows for place, rows in whole.runs.items() if place.upsampler in (CONTROL, "nearest")}
    found = list(trends.trends(Outcome(QUICK, whole.cells, runs, {}), "data"))
    assert [trend.claim.split()[0] for trend in found] == ["Skips", "Skips", "Skips", "Max-unpooling"]


def test_pretrained_families_have_trends_of_their_own():
    effect = {"unet_vgg16": 0.05, "edge/unet_vgg16": 0.03, "fcn_vgg16/max_unpool": 0.04}
    effect |= {f"segformer_vgg16/{name}": 0.03 for name in ("carafe", "sapa")}
    effect |= {"segformer_vgg16/dysample": 0.06, "segformer_vgg16/fade": -0.03}
    found = verdicts(outcome(effect, families=pretrained.families("vgg16"), sizes=("matched",)))
    assert len(found) == 3 + 1 + 1 + 6 + 1  # skips, unpooling, bilinear again, SegFormer, storage
    lost = {claim for claim, verdict in found.items() if verdict != "holds"}
    where = "with matched parameters, SegFormer on VGG16"
    assert lost == {f"FADE beats bilinear in {score} {where}" for score in ("mIoU", "boundary IoU")}


@pytest.mark.parametrize("size", [2, 3])
def test_tables_hold_operators_in_order(size):
    table = outcome({}, seeds=size).table("data", "published", "fcn", "miou")
    assert list(table) == list(UPSAMPLERS)
    assert {len(values) for values in table.values()} == {size}

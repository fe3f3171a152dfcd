"""The report: what was found, in tables and pictures."""

from collections.abc import Iterator

import numpy as np

from benchmarks.upsampling import pictures, plots
from benchmarks.upsampling.beyond import beyond, power
from benchmarks.upsampling.cells import CONTROL, FAMILIES, LABELS, TOLERANCE, TWIN, UPSAMPLERS, Family, Place, Size
from benchmarks.upsampling.data import Data, load
from benchmarks.upsampling.document import Block, Document, Heading, Picture, Table, Text
from benchmarks.upsampling.results import Results, run_name
from benchmarks.upsampling.run import Plan
from benchmarks.upsampling.scoring import LEAST_TOLERANCE
from benchmarks.upsampling.settings import Settings
from benchmarks.upsampling.statistics import Comparison, Estimate, against, mean
from benchmarks.upsampling.tables import SCORES, Outcome, read
from benchmarks.upsampling.trends import trends
from segjax.errors import counted

SIZE_TITLES: dict[Size, str] = {"published": "as published", "matched": "with matched decoder parameters"}


def write(settings: Settings, places: Plan, results: Results, command: str) -> Outcome:
    """Write report.md, report.html and figures/ into the folder from what it holds."""
    outcome = read(results, settings, places)
    document = Document("Upsampling compared")
    document.add(*_introduction(outcome, command))
    for name in settings.data:
        data = load(name)
        if len(settings.data) > 1:
            document.add(Heading(data.name))
        document.add(*_data_set(outcome, data, results))
    document.add(*_method())
    document.write(results.folder)
    return outcome


def _introduction(outcome: Outcome, command: str) -> Iterator[Block]:
    settings = outcome.settings
    rows = [row for runs in outcome.runs.values() for row in runs]
    machines = sorted({row["machine"] for row in rows})
    packages = sorted({", ".join(f"{name} {version}" for name, version in row["versions"].items()) for row in rows})
    yield Text(
        "Every upsampler in every decoder family that takes it, with all else held still: encoder, initial parameters "
        "of the encoder, data, their order and augmentation, schedule. "
        f"{counted(settings.seeds, 'seed')} of {settings.steps} steps of {settings.batch_size} crops, base width "
        f"{settings.width}."
    )
    yield Text(f"`{command}` on {'; '.join(machines) or 'no machine yet'}. {'; '.join(packages)}.")
    absent = len(set(outcome.cells.values())) - len({outcome.cells[place] for place in outcome.runs})
    if absent:
        yield Text(f"**{absent} cells are not complete and left out; the same command goes on with them.**")
    if any(not cost["quiet"] for cost in outcome.costs.values()):
        yield Text(
            "**The machine was busy while it was timed: only the ratios of times within a family mean something.**"
        )


def _data_set(outcome: Outcome, data: Data, results: Results) -> Iterator[Block]:
    main = outcome.main_size(data.name)
    shown_families = outcome.families(data.name, main)
    if not shown_families:
        return
    yield Heading("What theory and the papers predict")
    yield Table(
        ["prediction", "verdict", "found", "source"],
        [[t.claim, f"**{t.verdict}**", t.found, t.source] for t in trends(outcome, data.name)],
        "A trend holds where the whole 95% interval lies on the predicted side. Points are hundredths of a score.",
    )
    yield from power(outcome, data.name)
    yield Heading("At a glance")
    yield _glance(outcome, data.name)
    yield Heading("Against bilinear")
    yield Picture(
        f"differences_{data.name}.svg",
        plots.differences(outcome, data.name),
        "Difference from bilinear with its 95% interval, by family.",
    )
    yield Heading("Scores")
    for size in plots.SIZES:
        for family in outcome.families(data.name, size):
            yield Heading(f"{FAMILIES[family]}, {SIZE_TITLES[size]}", 3)
            yield _scores(outcome, data.name, size, family)
    yield from beyond(outcome, data.name, main)
    yield Heading("Scores and costs")
    for score in ("miou", "boundary_f1"):
        yield Picture(
            f"pareto_{score}_{data.name}.svg",
            plots.pareto(outcome, data.name, score),
            f"{SCORES[score]} against what inference costs; up and left is better.",
        )
    for family in shown_families:
        yield Heading(f"{FAMILIES[family]}", 3)
        yield _costs(outcome, data.name, family)
    yield Heading("Checkerboards")
    yield Picture(
        f"checkerboards_{data.name}.svg",
        plots.checkerboards(outcome, data.name),
        "Power of the logits at the frequencies of stride 2 over that around them.",
    )
    kept = {family: _arrays(outcome, data.name, family, results) for family in shown_families}
    rows = {
        FAMILIES[family].replace(" on ", "\non ") + f"\n{when}": {
            name: arrays[key] for name, arrays in kept[family].items()
        }
        for family in shown_families
        for when, key in (("at the start", "initial_spectrum"), ("trained", "spectrum"))
    }
    shown = {name: label for name, label in UPSAMPLERS.items() if any(name in row for row in rows.values())}
    yield Picture(
        f"spectra_{data.name}.png",
        pictures.spectra(rows, shown),
        "Power spectra of the logits of test tiles, seed 0, from -1/4 to 3/4 cycles per pixel. Frequency zero lies at "
        "the upper left; the circles are the frequencies of stride 2.",
    )
    yield Heading("Predictions")
    for family in shown_families:
        predictions = {name: arrays["prediction"] for name, arrays in kept[family].items()}
        yield Picture(
            f"tiles_{family}_{data.name}.png",
            pictures.tiles(data, predictions, {name: UPSAMPLERS[name] for name in predictions}),
            f"{FAMILIES[family]}, {SIZE_TITLES[main]}, seed 0: test tiles, and below each where most of the boundary "
            "is, with the true boundary drawn over the prediction.",
        )


def _glance(outcome: Outcome, data: str) -> Table:
    size = outcome.main_size(data)
    families = outcome.families(data, size)
    scores = {"miou": "mIoU", "boundary_f1": "boundary F1"}
    tables = {(f, score): outcome.table(data, size, f, score) for f in families for score in scores}
    compared = {key: against(table, CONTROL) if CONTROL in table else {} for key, table in tables.items()}
    rows = []
    for name, label in UPSAMPLERS.items():
        row = [label]
        for key, table in tables.items():
            text = f"{table[name].mean():.3f}" if name in table else ""
            found = compared[key].get(name)
            row.append(f"**{text}**" if found is not None and found.adjusted_p < 0.05 else text)
        rows.append(row)
    head = ["upsampler", *(f"{FAMILIES[family]}: {title}" for family in families for title in scores.values())]
    caption = (
        f"Decoders {SIZE_TITLES[size]}. **Bold**: differs from bilinear, p < 0.05 after Holm's correction by column."
    )
    return Table(head, [row for row in rows if any(row[1:])], caption)


def _scores(outcome: Outcome, data: str, size: Size, family: Family) -> Table:
    classes = next(list(runs[0]["iou"]) for place, runs in outcome.runs.items() if place.data == data)
    tables = {score: outcome.table(data, size, family, score, twin=True) for score in SCORES}
    compared: dict[str, dict[str, Comparison]] = {}
    for score, table in tables.items():
        if CONTROL in table:
            # The twin does not count among the operators that the others are compared with.
            fair = {name: values for name, values in table.items() if name != TWIN}
            compared[score] = against(table, CONTROL) | against(fair, CONTROL)
    head = ["upsampler", "decoder parameters"]
    for title in SCORES.values():
        head += [title, "against bilinear"]
    head += [f"IoU {name}" for name in classes]
    rows = []
    for name in tables["miou"]:
        place = Place(data, size, family, name)
        row = [LABELS[name], f"{outcome.runs[place][0]['decoder_parameters']:,}"]
        for score in SCORES:
            row.append(_plus_minus(mean(tables[score][name])))
            comparison = compared.get(score, {}).get(name)
            row.append("" if comparison is None else _difference(comparison.difference, comparison.adjusted_p))
        for kind in classes:
            row.append(f"{np.mean(outcome.table(data, size, family, f'iou/{kind}', twin=True)[name]):.3f}")
        rows.append(row)
    return Table(
        head,
        rows,
        "Means and 95% intervals over seeds. Differences in points, paired by seed, with their 95% interval; **bold** "
        "where p < 0.05 after Holm's correction for all rows.",
    )


def _costs(outcome: Outcome, data: str, family: Family) -> Table:
    head = ["upsampler", "decoder", "parameters", "of the decoder", "GFLOPs an image", "train step, ms"]
    head += ["inference, ms", "peak MiB, training", "peak MiB, inference", "kept KiB an image", "of packed indices"]
    head += ["checkerboard, start", "trained"]
    rows = []
    for size in plots.SIZES:
        for name in UPSAMPLERS:
            place = Place(data, size, family, name)
            cost = outcome.costs.get(place)
            if cost is None or place not in outcome.runs:
                continue
            if size == "matched" and outcome.cells[place] == outcome.cells.get(Place(data, "published", family, name)):
                continue
            widths = "-".join(map(str, outcome.cells[place].decoder))
            boards = (
                outcome.table(data, size, family, key)[name] for key in ("initial_checkerboard/2", "checkerboard/2")
            )
            rows.append(
                [
                    UPSAMPLERS[name],
                    f"{size}, {widths}",
                    f"{cost['parameters']:,}",
                    f"{cost['decoder_parameters']:,}",
                    f"{cost['flops'] / 1e9:.3f}",
                    f"{cost['train_ms']:.1f}",
                    f"{cost['inference_ms']:.1f}",
                    f"{cost['train_bytes'] / 2**20:.1f}",
                    f"{cost['inference_bytes'] / 2**20:.1f}",
                    f"{cost['kept_bytes'] / 2**10:.1f}",
                    "" if cost["storage_multiplier"] is None else f"{cost['storage_multiplier']:.0f}x",
                    *(f"{np.exp(np.log(board).mean()):.2g}" for board in boards),
                ]
            )
    return Table(
        head,
        rows,
        f"Times are interleaved medians of a batch of {outcome.settings.batch_size}, crops in training and tiles in "
        "inference. Kept are the features of skips, and pooling indices packed to two bits. Checkerboard scores are of "
        "stride 2, geometric means over seeds.",
    )


def _arrays(outcome: Outcome, data: str, family: Family, results: Results) -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for name in UPSAMPLERS:
        place = Place(data, outcome.main_size(data), family, name)
        if place in outcome.runs:
            arrays = results.arrays(run_name(outcome.cells[place], outcome.settings, 0))
            if arrays:
                found[name] = arrays
    return found


def _method() -> Iterator[Block]:
    yield Heading("How it was done")
    yield Text(
        "The encoder has three stages of two 3x3 convolutions, each followed by a 2x2 max-pooling. FCN scores classes "
        "at stride 8, and the upsampler alone brings them to the image; SegNet and U-Net have two convolutions after "
        "every upsampling, and U-Net sees the encoder's features beside them. Runs of one seed share data order, "
        "augmentation and the encoder's initial parameters. Matched decoders are scaled in width to the parameters of "
        f"bilinear's, within {TOLERANCE:.0%}."
    )
    yield Text(
        "Pretrained families have an encoder of the library with its weights and are trained whole, all decoders "
        "matched; `benchmarks/upsampling/pretrained.py` says where the upsampler is in each. Max-unpooling is by "
        "recorded indices on VGG16, and by those that a pooling of the skip's own features would have elsewhere; in "
        "DeepLabV3+ and SegFormer on VGG16, which climb over several poolings at once, it cannot be. FADE and SAPA see "
        "the features of the level that they climb to, and so are skips where a family has none."
    )
    yield Text(
        "Operators are compared seed by seed in a randomised block design: the variance of the residuals is pooled "
        "over all operators of a table, so that a few seeds suffice. That assumes independent, normal residuals of one "
        "variance. Intervals speak of other seeds on this test split, not of other images."
    )
    yield Text(
        "Boundary F1 (Csurka et al. 2013) counts contours as met within 0.75% of the image's diagonal, and at least "
        f"{LEAST_TOLERANCE} pixels; boundary IoU (Cheng et al. 2021) looks at 2% of the diagonal. The checkerboard "
        "score is that of `segjax.metrics.checkerboard_score`, on the logits of test tiles. On CPU a network is "
        "trained and timed on one core: several at a time in training, and nothing beside it in timing."
    )


def _plus_minus(estimate: Estimate) -> str:
    reach = estimate.high - estimate.value
    return f"{estimate.value:.3f}" if np.isnan(reach) else f"{estimate.value:.3f} ± {reach:.3f}"


def _difference(estimate: Estimate, p: float) -> str:
    value, low, high = (100 * part for part in estimate[:3])
    if np.isnan(low):
        return f"{value:+.1f}"
    text = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if p < 0.05 else text

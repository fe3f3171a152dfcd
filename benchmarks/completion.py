"""What shells complete behind `segjax train EXPERIMENT`: `python -m benchmarks.completion`, seconds on two CPU cores.

The experiments are read, and segjax/runs/knobs.json is written, which the completion scripts are made of without jax.
"""

import json
from typing import Any

from benchmarks.asked import parser
from segjax.runs import read_experiment
from segjax.runs.knobs import TABLE, options_of
from segjax.runs.names import names


def table() -> list[dict[str, Any]]:
    """The experiments, each with the names that it goes by and its knobs."""
    by_file: dict[str, list[str]] = {}
    for name, file in names().items():
        by_file.setdefault(file.stem, []).append(name)
    return [{"names": known, "knobs": options_of(read_experiment(stem).function)} for stem, known in by_file.items()]


def main() -> None:
    """Writes the table, a knob a line."""
    rows = []
    for row in table():
        knobs = ",\n".join(f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in row["knobs"].items())
        rows.append(f'{{"names": {json.dumps(row["names"])}, "knobs": {{\n{knobs}\n}}}}')
    TABLE.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()

"""`segjax serve`: a model behind HTTP."""

import argparse

from segjax.cli.process import prepare
from segjax.cli.say import say_unfinished


def serve(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax serve RUN --port N`: answer requests until it is stopped."""
    prepare()
    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.runs.saved import open_predictor
    from segjax.serve import Limits, Served
    from segjax.serve import serve as answer_requests
    from segjax.tasks import Options

    keep_compiled_programs()
    limits = Limits(parsed.batch, parsed.queue, parsed.seconds, parsed.body, parsed.pixels)
    task, model, variables, about = open_predictor(parsed.run, parsed.checkpoint)
    say_unfinished(parsed.run)
    options = Options(score=parsed.score)
    said = {"licence": about.licence, "trained_on": about.trained_on}
    served = Served(parsed.run, task, model, variables, options, **said)
    answer_requests(served, parsed.host, parsed.port, limits, [(h, w) for h, w in parsed.size or [(256, 256)]])
    return 0

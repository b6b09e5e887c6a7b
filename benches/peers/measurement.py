"""What every Python peer shares: its options, how time and memory are taken, and the one line that it prints.

Knows nothing of what is measured.
"""

import argparse
import importlib.metadata
import json
import os
import resource
import statistics
import time


def options(description: str, **sizes: int) -> argparse.Namespace:
    """The command line: `--threads`, `--repetitions`, `--seed`, and one number for each of `sizes`, by its default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3, help="timed repetitions, after warming up")
    parser.add_argument("--seed", type=int, default=0)
    for name, default in sizes.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    given = parser.parse_args()
    # Before torch is imported: its OpenMP reads this once.
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return given


def seconds_of(work, repetitions: int, warm_up) -> list[float]:
    """Wall-clock seconds of each repetition of `work`, after `warm_up`, which is not timed."""
    warm_up()
    seconds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return seconds


def report(bench: str, peer: str, tokens: list[int], seconds: list[float], **more) -> None:
    """Prints the result as one JSON line: the tokens and seconds of each repetition, and the median of their rates."""
    line = {
        "bench": bench,
        "peer": peer,
        "tokens-per-second": statistics.median(t / s for t, s in zip(tokens, seconds, strict=True)),
        "seconds": seconds,
        "tokens": tokens,
        # The highest resident size of the process, interpreter and libraries included.
        "peak-bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "trl")},
        **more,
    }
    print(json.dumps(line), flush=True)

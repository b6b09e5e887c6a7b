"""What the official `bfcl-eval` says of result files, record by record; and how fast it executes calls.

    python official.py verdicts RESULTS      one JSON object: {model: {record: error type, or null where it is valid}}
    python official.py speed SECONDS         one JSON object: calls, seconds (the ground truth of all multi-turn categories)

Runs in a virtual environment with `pip install --no-deps bfcl-eval mpmath overrides filelock python-dotenv tqdm numpy`.
The package imports every vendor's client before it can score anything; modules that are not installed are stood in for by
empty ones, since scoring calls none of them.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from unittest.mock import MagicMock

# Importing the package makes folders below this.
os.environ["BFCL_PROJECT_ROOT"] = tempfile.mkdtemp(prefix="bfcl-")


class Absent(types.ModuleType):
    """A module that is not installed: it has whatever is asked of it, and nothing does anything."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, MagicMock(name=name))


class Absents(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        # What the package itself lacks is to be missed.
        return None if name.startswith("bfcl_eval") else importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Absent(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Absents())

from bfcl_eval.eval_checker import eval_runner  # noqa: E402
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call  # noqa: E402
from bfcl_eval.model_handler.local_inference.qwen import QwenHandler  # noqa: E402
from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler  # noqa: E402
from bfcl_eval.utils import load_dataset_entry, load_ground_truth_entry  # noqa: E402

MULTI_TURN = ["multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context"]
AGENTIC = ["memory_kv", "memory_vector", "memory_rec_sum", "web_search_base", "web_search_no_snippet"]


def main():
    what, argument = sys.argv[1:]
    answer = verdicts(Path(argument)) if what == "verdicts" else speed(float(argument))
    print(json.dumps(answer))


def verdicts(results: Path) -> dict:
    found = {}
    for model in sorted(path for path in results.iterdir() if path.is_dir()):
        # Decoding needs nothing of what a handler is made with.
        cls = QwenFCHandler if "FC" in model.name else QwenHandler
        handler = cls.__new__(cls)
        found[model.name] = {}
        for path in sorted(model.rglob("BFCL_v4_*_result.json")):
            category = path.name.removeprefix("BFCL_v4_").removesuffix("_result.json")
            if not category.endswith("_prereq"):
                found[model.name] |= of_category(handler, model.name, category, path)
    return found


def of_category(handler, model: str, category: str, path: Path) -> dict:
    prompts = load_dataset_entry(category, include_prereq=False)
    answers = [row["ground_truth"] for row in load_ground_truth_entry(category)]
    expected = {prompt["id"]: (prompt, answer) for prompt, answer in zip(prompts, answers)}
    evaluate = (
        eval_runner._evaluate_single_multi_turn_entry
        if category in MULTI_TURN
        else eval_runner._evaluate_single_agentic_entry
    )
    found = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        prompt, answer = expected[row["id"]]
        judge = lambda: evaluate(handler, row["id"], row["result"], answer, prompt, model, category)  # noqa: B023, E731
        found[row["id"]] = apart(judge)
    return found


def apart(judge) -> str | None:
    """The verdict from a process of its own: the official program leaks from one record into the next."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is evaluated may print.
        try:
            verdict = judge()
            error = None if verdict["valid"] else verdict["error"]["error_type"]
        except Exception as exception:
            error = f"evaluator:{type(exception).__name__}: {exception}"
        os.write(writer, json.dumps(error)[:4000].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def speed(seconds: float) -> dict:
    """Calls of the ground truth in fresh instances, again and again until the time is over; loading the data not counted."""
    records = []
    for category in MULTI_TURN:
        answers = [row["ground_truth"] for row in load_ground_truth_entry(category)]
        records += list(zip(load_dataset_entry(category), answers))
    calls, start, rounds = 0, time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        rounds += 1
        for prompt, turns in records:
            for turn in turns:
                execute_multi_turn_func_call(
                    turn,
                    prompt["initial_config"],
                    prompt["involved_classes"],
                    f"round_{rounds}",
                    prompt["id"],
                    long_context="long_context" in prompt["id"],
                )
                calls += len(turn)
            if time.perf_counter() - start >= seconds:
                break
    return {"calls": calls, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()

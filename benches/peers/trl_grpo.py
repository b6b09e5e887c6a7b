"""Whole GRPO steps (rollout over several turns of tool calls, reward, update) by TRL's GRPOTrainer with its own
generation, on tasks that `pact data make world` wrote.

    python trl_grpo.py MODEL_FOLDER TASKS.jsonl [--prompts 8 ...]

TRL lets each prompt name an environment, whose methods are its tools; here every task is an environment of its own,
whose methods run the row's Python sources in this process. Counts the policy's tokens.
"""

import sys

from measurement import options, report

model_folder, tasks_file = sys.argv[1:3]
del sys.argv[1:3]
given = options(__doc__, prompts=8, group_size=8, turns=6, turn_tokens=96, tokens=1000)

import copy
import inspect
import json
import tempfile
import time

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_template

TYPES = {"string": str, "integer": int, "number": float, "boolean": bool}


class Task:
    """A task of FTRL's format as TRL's environment: a subclass has the task's tools as methods and its `goldens`."""

    goldens: dict[str, list[str]]

    def reset(self, **_row) -> None:
        self._remaining, self._calls = copy.deepcopy(self.goldens), 0

    def _observe(self, tool: str, feedback: str) -> None:
        """Takes out the first remaining golden of the tool that the feedback contains."""
        self._calls += 1
        goldens = self._remaining.get(tool, [])
        solved = next((golden for golden in goldens if verified(feedback, golden)), None)
        if solved is not None:
            goldens.remove(solved)

    def _solve_f1(self) -> float:
        total = sum(map(len, self.goldens.values()))
        solved = total - sum(map(len, self._remaining.values()))
        return 2 * solved / (self._calls + total)


def verified(feedback: str, golden: str) -> bool:
    """FTRL's rule: every piece of the golden is part of the feedback, without case and commas."""

    def plain(text):
        return text.lower().replace(",", "").strip()

    return all(plain(piece) in plain(feedback) for piece in golden.split(", "))


def method(schema: dict, source: str):
    """The tool of this JSON schema as a method, with the signature and docstring that TRL makes a schema from."""
    name, namespace = schema["name"], {}
    exec(source, namespace)
    properties = schema["parameters"]["properties"]
    types = {argument: TYPES[value["type"]] for argument, value in properties.items()}

    def call(self, **arguments):
        feedback = str(namespace[name](**arguments))
        self._observe(name, feedback)
        return feedback

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(argument, keyword, annotation=kind) for argument, kind in types.items()]
    call.__name__ = name
    call.__signature__ = inspect.Signature([inspect.Parameter("self", keyword), *parameters])
    call.__annotations__ = types
    arguments = "".join(f"    {argument}: {value['description']}\n" for argument, value in properties.items())
    call.__doc__ = f"{schema['description']}\n\nArgs:\n{arguments}"
    return call


def environment(row: dict) -> type[Task]:
    schemas = [tool["function"] for tool in json.loads(row["tools"])]
    sources = json.loads(row["codes"])
    methods = {schema["name"]: method(schema, sources[schema["name"]]) for schema in schemas}
    return type("TaskOfRow", (Task,), {"goldens": json.loads(row["unsolved_set"]), **methods})


def solve_f1(environments: list[Task], **_rest) -> list[float]:
    return [task._solve_f1() for task in environments]


class Clock(TrainerCallback):
    """Seconds of each step, from before its rollout to after its update, and what TRL logged about it."""

    def __init__(self):
        self.seconds, self.logs = [], []

    def on_step_begin(self, *_arguments, **_rest):
        self.begun = time.perf_counter()

    def on_step_end(self, *_arguments, **_rest):
        self.seconds.append(time.perf_counter() - self.begun)

    def on_log(self, _args, _state, _control, logs, **_rest):
        self.logs.append(logs)


torch.set_num_threads(given.threads)
rows = [json.loads(line) for line in open(tasks_file)]
tokenizer = AutoTokenizer.from_pretrained(model_folder)
tokenizer.response_template = qwen3_template  # the base's template writes calls as Qwen3's does
model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="sdpa")
episodes = given.prompts * given.group_size
clock = Clock()
trainer = GRPOTrainer(
    model=model,
    processing_class=tokenizer,
    reward_funcs=solve_f1,
    train_dataset=Dataset.from_list([{"prompt": row["messages"], "environment": row["id"]} for row in rows]),
    environment_factory={row["id"]: environment(row) for row in rows},
    callbacks=[clock],
    args=GRPOConfig(
        output_dir=tempfile.mkdtemp(),  # TRL makes it, and writes nothing there
        use_cpu=True,
        bf16=False,
        seed=given.seed,
        max_steps=given.repetitions + 1,
        per_device_train_batch_size=episodes,
        num_generations=given.group_size,
        max_completion_length=given.tokens,  # of an episode
        generation_kwargs={"max_new_tokens": given.turn_tokens},  # of a turn
        max_tool_calling_iterations=given.turns - 1,
        learning_rate=1e-5,
        optim="adamw_torch_fused",
        loss_type="dapo",  # divided by the batch's count of tokens, as pact does
        beta=0.0,
        gradient_checkpointing=False,  # TRL's default is slower
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    ),
)
trainer.train()
steps = [log for log in clock.logs if "reward" in log][1:]
report(
    "grpo",
    "trl",
    [round(log["completions/mean_length"] * episodes) for log in steps],
    clock.seconds[1:],
    reward=[log["reward"] for log in steps],
    calls=[log["tools/call_frequency"] for log in steps],
)

"""Twenty training steps by pact and by PyTorch with transformers, from the same weights on the same tokens: the
log-probability of every token before the first step, and the loss of each. Called by benches/gpu.sh; works on a CPU too.

    python3 benches/peers/losses.py --pact target/release/pact --out out/losses [--device cpu] [--shape tiny]

On a CPU both compute in f32. On a GPU pact multiplies in bf16 with f32 masters, and PyTorch does the same by autocast; the
log-probabilities are held to PyTorch's in f32. Prints a table and ends with 1 where the two are further apart than rounding
explains."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from gpu import COMMON, SHAPES

# Relative, of the norm of all log-probabilities and of each loss.
ALLOWED = {"cpu": 1e-4, "cuda": 1e-2}


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--pact", required=True)
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--device", choices=list(ALLOWED), default="cpu")
    given.add_argument("--shape", choices=list(SHAPES), default="tiny")
    given.add_argument("--steps", type=int, default=20)
    given.add_argument("--learning-rate", type=float, default=1e-4)
    given = given.parse_args()

    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(**{**COMMON, **SHAPES[given.shape], "torch_dtype": "float32"}, attn_implementation="sdpa",
                         bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model = Qwen3ForCausalLM(config)
    folder, tokens = given.out / "model", given.out / "tokens.json"
    model.save_pretrained(folder)
    ids = torch.randint(config.vocab_size, (4, 129))
    tokens.write_text(json.dumps(ids.tolist()))

    ours = pact(given, folder, tokens)
    model, ids = model.to(given.device).train(), ids.to(given.device)
    with torch.no_grad():
        expected = logprobs(torch, model, ids).double().cpu()
    found = torch.tensor(ours["logprobs"], dtype=torch.float64)
    apart = {"log-probabilities": ((found - expected).norm() / expected.norm()).item()}
    theirs = losses(torch, given, model, ids)
    for i, (a, b) in enumerate(zip(ours["losses"], theirs)):
        apart[f"loss of step {i + 1}"] = abs(a / b - 1)
        print(f"step {i + 1:2}  pact {a:.6f}  PyTorch {b:.6f}  apart {abs(a / b - 1):.1e}")
    (given.out / "losses.json").write_text(json.dumps(dict(pact=ours["losses"], torch=theirs, apart=apart), indent=1))
    worst = max(apart, key=apart.get)
    print(f"log-probabilities apart {apart['log-probabilities']:.1e}; the most, {apart[worst]:.1e}, is the {worst}")
    if len(ours["losses"]) != given.steps or not apart[worst] <= ALLOWED[given.device]:
        print(f"error: expected {given.steps} steps within {ALLOWED[given.device]:.0e}", file=sys.stderr)
        return 1
    return 0


def logprobs(torch, model, ids):
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    return torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]


def losses(torch, given, model, ids) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    losses = []
    for _ in range(given.steps):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(given.device, dtype=torch.bfloat16, enabled=given.device == "cuda"):
            loss = -logprobs(torch, model, ids).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def pact(given, folder: Path, tokens: Path) -> dict:
    command = [given.pact, "bench", "losses", "--model", folder, "--tokens", tokens, "--steps", given.steps,
               "--learning-rate", given.learning_rate, "--device", given.device, "--json"]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))} ended with {done.returncode}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())

"""Training and decoding on one GPU: pact and PyTorch with transformers (SDPA, bf16), alternately, on the same shapes and
random weights. Called by benches/gpu.sh. Prints a table, writes every number to OUT/results.json.

Each repetition is a process of pact, then one of PyTorch; a process warms up first. Utilisation is counted from shapes, as
a share of what PyTorch's own bf16 products of 8192 x 8192 reach on this card, measured in the same run. For decoding the
share is of the bandwidth that PyTorch's copies reach: each token's step reads all weights, and every sequence's keys and
values. Memory is the most that arrays had at a time, as each program counts it."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

SHAPES = {
    "tiny": dict(hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=32, vocab_size=1024),
    "qwen3-0.6b": dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
                       num_key_value_heads=8, head_dim=128, vocab_size=151936),
    "qwen3-1.7b": dict(hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, num_attention_heads=16,
                       num_key_value_heads=8, head_dim=128, vocab_size=151936),
}
COMMON = dict(model_type="qwen3", architectures=["Qwen3ForCausalLM"], max_position_embeddings=40960, rms_norm_eps=1e-6,
              rope_theta=1000000.0, tie_word_embeddings=True, attention_bias=False, hidden_act="silu",
              initializer_range=0.02, torch_dtype="bfloat16")


def work(shape: str) -> dict:
    """What is measured: `train` is sequences x tokens, `decode` batches, `tree` one trace-conditioned update."""
    if shape == "tiny":
        return dict(train=(2, 64), decode=[4], prompt=32, new=8, tree=(4, 64, 16))
    return dict(train=(1, 8192), decode=[64, 256], prompt=512, new=128, tree=(16, 4096, 1024))


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--pact", required=True)
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--shapes", required=True)
    given.add_argument("--repetitions", type=int, default=3)
    given.add_argument("--torch", metavar="WORK", help="be the peer, for one work")
    given.add_argument("--batch", type=int)
    given.add_argument("--tokens", type=int)
    given.add_argument("--new", type=int)
    given = given.parse_args()
    if given.torch:
        return peer(given)

    results, rows = {"card": torch(given, given.shapes.split(",")[0], "limits")}, []
    limits = results["card"]
    peak = limits["gflops"]
    for shape in given.shapes.split(","):
        config = given.out / f"{shape}.json"
        config.write_text(json.dumps({**COMMON, **SHAPES[shape]}))
        of = work(shape)
        batch, tokens = of["train"]
        run = ["train", "--batch", batch, "--tokens", tokens, "--checkpointing"]
        rows.append(compare(given, results, shape, run, dict(batch=batch, tokens=tokens), peak=peak))
        for batch in of["decode"]:
            run = ["decode", "--batch", batch, "--prompt", of["prompt"], "--new", of["new"]]
            # Sequences are half done on average.
            step = decode_bytes(SHAPES[shape], batch, of["prompt"] + of["new"] / 2)
            bound = batch * limits["bytes-per-second"] / step
            peer = dict(batch=batch, tokens=of["prompt"], new=of["new"])
            rows.append(compare(given, results, shape, run, peer, bound=bound))
        rollouts, context, each = of["tree"]
        run = ["tree", "--rollouts", rollouts, "--context", context, "--rollout-tokens", each, "--checkpointing"]
        rows.append(compare(given, results, shape, run, None, peak=peak))
    (given.out / "results.json").write_text(json.dumps(results, indent=1))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)))
    return 0


def decode_bytes(shape: dict, sequences: int, tokens: float) -> float:
    """What a step that samples one token of each sequence reads: bf16 weights, and keys and values of so many tokens."""
    hidden, layers, width = shape["hidden_size"], shape["num_hidden_layers"], shape["head_dim"]
    query, kv = shape["num_attention_heads"] * width, shape["num_key_value_heads"] * width
    layer = hidden * (2 * query + 2 * kv + 3 * shape["intermediate_size"])
    return 2 * (layers * layer + hidden * shape["vocab_size"] + sequences * tokens * layers * 2 * kv)


def compare(given, results: dict, shape: str, run: list, peer: dict | None, peak: float | None = None,
            bound: float | None = None) -> list[str]:
    """One work by both, alternately; a line of the table."""
    ours, theirs = [], []
    for _ in range(given.repetitions):
        ours.append(pact(given, shape, run))
        if peer:
            theirs.append(torch(given, shape, run[0], **peer))
    name = f"{shape} {' '.join(map(str, run))}"
    results[name] = dict(pact=ours, torch=theirs)
    rate = statistics.median(it["tokens-per-second"] for it in ours)
    line = [name, f"{rate:.0f} tok/s"]
    if theirs:
        ratios = [a["tokens-per-second"] / b["tokens-per-second"] for a, b in zip(ours, theirs)]
        line.append(f"{statistics.median(ratios):.2f}x PyTorch ({min(ratios):.2f}-{max(ratios):.2f})")
    else:
        shares = [it["share-of-bound"] for it in ours]
        line.append(f"{statistics.median(shares):.2f} of the bound by FLOPs")
    if peak:
        line.append(f"{statistics.median(it['gflops'] for it in ours) / peak:.1%} of the card's products")
    if bound:
        rate = statistics.median(it["later-tokens-per-second"] for it in ours)
        line.append(f"{rate / bound:.1%} of its bandwidth, after the first tokens")
    memory = f"{max(it['card-peak-bytes'] for it in ours) / 2**30:.1f} GiB"
    line.append(memory + (f", PyTorch {max(it['peak-bytes'] for it in theirs) / 2**30:.1f}" if theirs else ""))
    return line


def pact(given, shape: str, run: list) -> dict:
    command = [given.pact, "bench", *map(str, run), "--config", str(given.out / f"{shape}.json"), "--device", "cuda",
               "--weights", "bf16", "--repetitions", "3", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)


def torch(given, shape: str, work: str, **sizes) -> dict:
    command = [sys.executable, __file__, "--pact", given.pact, "--out", str(given.out), "--shapes", shape, "--torch", work]
    command += [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def peer(given) -> int:
    """PyTorch's side of one work; prints one JSON object."""
    import time

    import torch

    if given.torch == "limits":
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        seconds = timed(torch, time, lambda: a @ b, warm_up=5, repetitions=20)
        wide = torch.empty(2**31, device="cuda", dtype=torch.uint8)
        copied = timed(torch, time, lambda: wide.clone(), warm_up=3, repetitions=20)
        print(json.dumps({"gflops": 2 * 8192**3 / min(seconds) / 1e9, "bytes-per-second": 2 * len(wide) / min(copied),
                          "card": torch.cuda.get_device_name()}))
        return 0

    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(**{**COMMON, **SHAPES[given.shapes]}, attn_implementation="sdpa", bos_token_id=None,
                         eos_token_id=None, pad_token_id=None)
    torch.set_default_dtype(torch.bfloat16)
    model = Qwen3ForCausalLM(config).cuda()
    ids = torch.randint(config.vocab_size, (given.batch, given.tokens), device="cuda")
    if given.torch == "train":
        model.train()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        # bf16 weights under fused AdamW: less memory and less traffic than f32 masters, which pact has.
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            optimizer.step()

        seconds = timed(torch, time, step, warm_up=3, repetitions=5)
        count = ids.numel()
    else:
        model.eval()

        def step():
            with torch.no_grad():
                model.generate(ids, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=given.new,
                               min_new_tokens=given.new, pad_token_id=0)

        seconds = timed(torch, time, step, warm_up=1, repetitions=3)
        count = given.batch * given.new
    rate = count / statistics.median(seconds)
    print(json.dumps({"tokens-per-second": rate, "seconds": seconds, "peak-bytes": torch.cuda.max_memory_allocated()}))
    return 0


def timed(torch, time, step, warm_up: int, repetitions: int) -> list[float]:
    seconds = []
    for i in range(warm_up + repetitions):
        torch.cuda.synchronize()
        began = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[warm_up:]


if __name__ == "__main__":
    sys.exit(main())

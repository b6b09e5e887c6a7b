"""A full training step in PyTorch and transformers: forward, cross-entropy, backward, AdamW (fused, its fastest kind
on the CPU). `--compile 1` runs the model through torch.compile."""

from measurement import options, report, seconds_of

given = options(__doc__, batch=8, tokens=512, compile=0)

import torch
from decoder import decoder, random_tokens

model = decoder(given.threads, given.seed).train()
ids = random_tokens(given.batch, given.tokens)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
forward = torch.compile(model) if given.compile else model


def step():
    optimizer.zero_grad(set_to_none=True)
    forward(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    optimizer.step()


# The first three steps are slower: compilation, the optimiser's state, and an allocator that has yet to grow.
seconds = seconds_of(step, given.repetitions, warm_up=lambda: [step() for _ in range(3)])
report("train", "torch.compile" if given.compile else "torch", [ids.numel()] * given.repetitions, seconds)

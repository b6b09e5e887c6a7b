"""The update of K rollouts of R tokens under one context of L tokens, each rollout with a copy of the context, as
PyTorch trainers do it: forward, log-probabilities of the rollouts' tokens, backward, AdamW. Counts the context once and the rollouts.

`micro-batch` sequences at a time, their gradients added up: memory then stays that of a few sequences.
"""

from measurement import options, report, seconds_of

given = options(__doc__, context=1024, rollouts=16, rollout_tokens=256, micro_batch=4)

import torch
from decoder import decoder, random_tokens

model = decoder(given.threads, given.seed).train()
context = random_tokens(1, given.context).expand(given.rollouts, -1)
ids = torch.cat([context, random_tokens(given.rollouts, given.rollout_tokens)], dim=1)
advantages = torch.randn(given.rollouts)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)


def step():
    optimizer.zero_grad(set_to_none=True)
    for rows, weights in zip(ids.split(given.micro_batch), advantages.split(given.micro_batch), strict=True):
        # Logits of the rollouts' tokens only; the context's would be thrown away.
        logits = model(input_ids=rows, use_cache=False, logits_to_keep=given.rollout_tokens + 1).logits[:, :-1]
        targets = rows[:, given.context :]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        (losses * weights[:, None]).sum().div(given.rollouts * given.rollout_tokens).backward()
    optimizer.step()


seconds = seconds_of(step, given.repetitions, warm_up=step)
report("tree", "torch", [given.context + given.rollouts * given.rollout_tokens] * given.repetitions, seconds)

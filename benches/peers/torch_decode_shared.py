"""Groups that share their prompt, with transformers' `generate`: `num_return_sequences` for each prompt, T = 1,
nothing ends early. Counts new tokens.

`generate` repeats each prompt for each of its sequences before it reads them: the prefix is not shared.
"""

from measurement import options, report, seconds_of

given = options(__doc__, groups=8, group_size=16, prompt=1024, new=128)

import torch
from decoder import decoder, random_tokens

model = decoder(given.threads, given.seed).eval()
prompts = random_tokens(given.groups, given.prompt)


def sample():
    tokens = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=given.new,
        num_return_sequences=given.group_size,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
    )
    assert tokens.shape == (given.groups * given.group_size, given.prompt + given.new)


with torch.inference_mode():
    seconds = seconds_of(sample, given.repetitions)
report("decode-shared", "torch", [given.groups * given.group_size * given.new] * given.repetitions, seconds)

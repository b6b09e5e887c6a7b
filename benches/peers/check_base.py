"""Whether transformers loads a model folder that pact made, and acts by it as pact does.

    python check_base.py MODEL_FOLDER EPISODES.jsonl

EPISODES.jsonl is what `pact rollout --sampled` wrote with this model at temperature 1. For each token that the policy sampled, transformers' own
log-probability of it is compared with the one that pact recorded.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, episodes = sys.argv[1:3]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
assert len(tokenizer) == model.config.vocab_size, "the tokenizer and the embedding differ in size"
compared, largest = 0, 0.0
for line in open(episodes):
    for segment in json.loads(line)["segments"]:
        ids = torch.tensor(segment["tokens"])
        with torch.no_grad():
            logits = model(ids[None]).logits[0]
        assert torch.isfinite(logits).all(), "a logit is not finite"
        logprobs = torch.log_softmax(logits[:-1], dim=-1).gather(1, ids[1:, None])[:, 0]
        sampled = torch.tensor([author == "policy" for author in segment["authors"]])[1:]
        recorded = torch.tensor(segment["logprobs"])[1:]
        compared += int(sampled.sum())
        largest = max(largest, (logprobs - recorded)[sampled].abs().max().item())
print(f"{compared} log-probabilities differ from pact's by at most {largest:.1e}")
if not compared or largest > 1e-3:
    sys.exit("error: transformers does not compute what pact recorded")

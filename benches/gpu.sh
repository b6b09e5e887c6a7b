#!/usr/bin/env bash
# What an NVIDIA GPU makes of pact: first whether it computes right (operations against f64, passes against the CPU, shared
# prefixes against texts alone, samples against scores, twenty training steps against PyTorch's), then how fast, beside
# PyTorch and transformers on the same card in the same run. Needs a `pact` that was built with `--features cuda`, the NVIDIA driver, and a Python with
# PyTorch and transformers, whose CUDA libraries pact uses too. No weights are needed: speed does not depend on them.
#
#   benches/gpu.sh [PACT] [OUT]      PACT: the program, default target/release/pact; OUT: a folder, default out/gpu
#   SHAPES=tiny benches/gpu.sh       the same on a model for a minute's try
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pact=${1:-target/release/pact}
out=${2:-out/gpu}
python=${PYTHON:-python3}
mkdir -p "$out"

# The libraries that PyTorch brought with it, for pact.
libraries=$("$python" -c '
import glob, os, site, sys
places = site.getsitepackages() + [site.getusersitepackages()] + sys.path
print(":".join(sorted({f for p in places if p for f in glob.glob(os.path.join(p, "nvidia", "*", "lib"))})))')
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

echo "== the card" && "$pact" doctor | grep '^card' | tee "$out/card.txt"
echo "== operations against f64, and passes, by relative norm"
"$pact" bench operations --device cuda | tee "$out/operations.txt"
shapes=${SHAPES:-qwen3-0.6b,qwen3-1.7b}
echo "== twenty training steps, beside PyTorch's"
"$python" "$here/peers/losses.py" --pact "$pact" --out "$out/losses" --device cuda --shape "${shapes%%,*}" |
    tee "$out/losses.txt"
echo "== speed and memory"
exec "$python" "$here/peers/gpu.py" --pact "$pact" --out "$out" --shapes "$shapes"

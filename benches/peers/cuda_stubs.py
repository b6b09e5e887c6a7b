"""Lets PyTorch's wheel load without 4 GB of CUDA libraries that nothing on a CPU calls.

    python cuda_stubs.py    (with the environment's own Python, once, after installing)

PyPI's Linux wheel of PyTorch is linked against cuBLAS, cuDNN, NCCL and others, and does not load without them. The
CUDA runtime and CUPTI are called while torch loads, are small, and are installed for real (requirements.txt). For each
other this writes a library of the same name beside PyTorch's own, which has the same functions and aborts if one is
called. The CPU's code is untouched. Needs `cc`, `nm` and `readelf`. A wheel that was built without CUDA needs none.
"""

import importlib.util
import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# Found without importing torch, which would fail.
torch_libraries = Path(importlib.util.find_spec("torch").origin).parent / "lib"
installed = {path.name for path in torch_libraries.parents[1].glob("nvidia/**/*.so*")}
needed, symbols = set(), defaultdict(set)  # library names; symbol version -> functions, "" for those without one
for library in torch_libraries.glob("*.so"):
    needed |= set(re.findall(r"NEEDED.*\[(lib(?:cu|nv|nccl).*)\]", output_of("readelf", "-dW", str(library))))
    for line in output_of("nm", "-D", "--undefined-only", str(library)).splitlines():
        name, _, version = line.split()[-1].partition("@")
        symbols[version].add(name)

# The driver, libcuda, is needed only by libraries that torch loads when there is a GPU.
for library in sorted(needed - installed - {"libcuda.so.1"}):
    stem = library.removeprefix("lib").split(".so")[0].removesuffix("_host")
    version = "NVSHMEM" if stem == "nvshmem" else library
    unversioned = {name for name in symbols[""] if name.lower().startswith(stem.lower())}
    functions = symbols.get(version, set()) | unversioned
    with tempfile.TemporaryDirectory() as folder:
        source, version_script = Path(folder, "stub.c"), Path(folder, "stub.map")
        body = "".join(f"void {name}(void) {{ abort(); }}\n" for name in sorted(functions))
        source.write_text(f"void abort(void);\n{body}")
        version_script.write_text((version if version in symbols else "") + " { global: *; };\n")
        arguments = f"-shared -fPIC -w -Wl,-soname,{library} -Wl,--version-script={version_script}".split()
        output_of("cc", *arguments, "-o", str(torch_libraries / library), str(source))

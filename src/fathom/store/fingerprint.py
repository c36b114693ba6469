"""The fingerprint: what decides the bits of a result, apart from the study itself.

The same machine class, versions and settings give the same bits; other ones may not, because
libraries choose their kernels, and with them the order of additions, by processor and version. So a
study goes on only where the part `bits` is equal; the part `info` is for the reader.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

Fingerprint = dict[str, dict[str, str]]
# Environment settings by which the libraries behind torch are told to choose other kernels.
_KERNEL_SETTINGS = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "ONEDNN_MAX_CPU_ISA",
)


def machine_fingerprint(*, flush_denormal: bool = False, device: str = "cpu") -> Fingerprint:
    """Describe this machine and its software.

    Args:
        flush_denormal: Whether the engine sets `torch.set_flush_denormal`; torch cannot be asked.
        device: Where it computes, as torch names it.

    Returns:
        Two groups of texts: `bits`, which must be equal to go on with a study, and `info`.
    """
    build = torch.__config__.show()
    bits = {
        "fathom": version("fathom-lab"),
        "torch": torch.__version__,
        "torch_build": hashlib.sha256(build.encode()).hexdigest()[:16],
        "blas": _first(r"BLAS_INFO=(\w+)", build),
        "numpy": version("numpy"),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "flush_denormal": str(flush_denormal).lower(),
    }
    if device != "cpu":
        bits["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else device
        bits["cuda"] = str(torch.version.cuda)
    bits |= {key: os.environ[key] for key in _KERNEL_SETTINGS if key in os.environ}
    info = {
        "python": platform.python_version(),
        "polars": version("polars"),
        "system": f"{platform.system()} {platform.release()}",
        "num_cpus": str(os.cpu_count()),
        "math_library": _first(r"(Math Kernel Library Version [\w.-]+|OpenBLAS\S*)", build),
    }
    return {"bits": bits, "info": info}


def bits_digest(fingerprint: Mapping[str, Mapping[str, str]]) -> str:
    """Hash the part that must be equal: 16 hexadecimal digits.

    >>> bits_digest({"bits": {"torch": "2"}, "info": {}}) == bits_digest({"bits": {"torch": "2"}})
    True
    """
    text = json.dumps(fingerprint["bits"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bits_difference(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """List what differs in the part that must be equal, one line each.

    >>> old, new = {"torch": "2.13", "cpu": "a"}, {"torch": "2.14", "cpu": "a"}
    >>> bits_difference({"bits": old}, {"bits": new})
    ["torch: there '2.13', here '2.14'"]
    """
    a, b = old["bits"], new["bits"]
    return [
        f"{key}: there '{a.get(key, '')}', here '{b.get(key, '')}'"
        for key in sorted({*a, *b})
        if a.get(key) != b.get(key)
    ]


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    return _first(r"(?m)^(?:model name|Model|CPU part)\s*:\s*(.+)$", text).strip()


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""

"""What stands beside every figure: the processor, its instructions, the versions, the load."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model_store.backends.cpu import compute_threads, cpu_flags, cpu_quota

__all__ = ["compute_threads", "machine", "print_machine", "sentence"]

PACKAGES = (
    "tuneserve",
    "torch",
    "onnxruntime-gpu",
    "onnxruntime",
    "openvino",
    "transformers",
    "tokenizers",
    "litserve",
    "fastapi",
    "uvicorn",
    "numpy",
)
FLAGS = ("avx2", "avx512", "avx_vnni", "amx", "bf16", "i8mm")
"""Beginnings of the names of instruction sets that decide speed."""


def machine() -> dict[str, Any]:
    """Facts for the result file."""
    return {
        "cpu": cpu_model(),
        "flags": sorted(flag for flag in cpu_flags() if flag.startswith(FLAGS)),
        "amx": any(flag.startswith("amx") for flag in cpu_flags()),
        "cores": cpu_quota(),
        "threads": compute_threads(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [round(one, 2) for one in os.getloadavg()],
    }


def sentence(facts: dict[str, Any]) -> str:
    """One line for people."""
    amx = "AMX" if facts["amx"] else "no AMX"
    wide = [flag for flag in facts["flags"] if flag.startswith(("avx512_", "avx_vnni", "amx"))]
    return (
        f"{facts['cpu']}, {facts['cores']:g} cores, {amx} ({', '.join(wide) or 'no wide flags'}), "
        f"{facts['memory_gib']:g} GiB; load average before: {facts['load_average'][0]:g}"
    )


def print_machine() -> None:
    """The line, at the head of a table."""
    print(sentence(machine()) + "\n", flush=True)


def cpu_model() -> str:
    """The processor's name, as Linux tells it."""
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def package_version(name: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit that is measured; with a plus where the tree has changes."""
    root = Path(__file__).parent.parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

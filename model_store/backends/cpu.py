"""What this machine's processor offers a compute thread: how many at once, and which instructions.

A container sees every core of its host and may use a fraction of them; threads beyond the quota of
the control group only throttle each other. Everything is read from files, under a root that tests
replace.
"""

import math
import os
import platform
from functools import cache
from pathlib import Path

_ROOT = Path("/")

INTERESTING_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "bf16",
    "i8mm",
)
"""Flags that decide which precision is fast, x86 and Arm."""


def compute_threads() -> int:
    """Threads for a backend with a process to itself: the quota rounded down, at least one."""
    return max(1, math.floor(cpu_quota() + 1e-6))


def cpu_quota(root: Path = _ROOT) -> float:
    """Cores this process may use: the least of its affinity and the quotas of its control groups.

    Reads control groups version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``), from the
    group of this process up to the root, since an outer group may be the tighter one.

    Args:
        root: what stands for ``/``; a test's own tree.

    Returns:
        Cores, a fraction where the quota is one; > 0.
    """
    cores = float(_affinity())
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            for folder in _upwards(root / "sys/fs/cgroup", group):
                cores = min(cores, _quota_v2(folder))
        elif "cpu" in controllers.split(","):
            for name in ("cpu", controllers, "cpu,cpuacct"):
                for folder in _upwards(root / "sys/fs/cgroup" / name, group):
                    cores = min(cores, _quota_v1(folder))
    return cores


@cache
def cpu_flags(root: Path = _ROOT) -> frozenset[str]:
    """The instruction sets of the first processor, as Linux names them; empty elsewhere."""
    for line in _lines(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cpu_summary(root: Path = _ROOT) -> str:
    """The flags that matter for speed, for a report or a cache key."""
    found = " ".join(flag for flag in INTERESTING_FLAGS if flag in cpu_flags(root))
    return f"{platform.machine()} {found}".strip()


def bf16_is_fast(root: Path = _ROOT) -> bool:
    """Whether matrices are multiplied in bf16 by instructions of their own (AMX, AVX-512, Arm)."""
    return bool(cpu_flags(root) & {"amx_bf16", "avx512_bf16", "bf16"})


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a group and its parents; in a container its own group is the mount itself."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float:
    words = " ".join(_lines(folder / "cpu.max")).split()
    if len(words) != 2 or words[0] == "max":
        return math.inf
    return int(words[0]) / int(words[1])


def _quota_v1(folder: Path) -> float:
    quota = _lines(folder / "cpu.cfs_quota_us")
    period = _lines(folder / "cpu.cfs_period_us")
    if not quota or not period or int(quota[0]) <= 0:
        return math.inf
    return int(quota[0]) / int(period[0])

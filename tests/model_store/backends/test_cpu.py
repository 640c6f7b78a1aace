import os
from pathlib import Path

import pytest

from model_store.backends import cpu


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert cpu.cpu_quota(tmp_path) == 8


@pytest.mark.parametrize(
    ("limit", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", 8), ("4000000 100000\n", 8)]
)
def test_version_2_quota(tmp_path: Path, limit: str, cores: float) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": limit})
    assert cpu.cpu_quota(tmp_path) == cores


def test_version_2_outer_group_may_be_tighter(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/container\n",
            "sys/fs/cgroup/pod/container/cpu.max": "max 100000",
            "sys/fs/cgroup/pod/cpu.max": "250000 100000",
        },
    )
    assert cpu.cpu_quota(tmp_path) == 2.5


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1_quota(tmp_path: Path, mount: str, quota: str, cores: float) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": f"5:memory:/x\n3:{mount}:/docker/abc\n",
            # Inside a container the group's path is the host's, and its files lie at the mount.
            f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us": quota,
            f"sys/fs/cgroup/{mount}/cpu.cfs_period_us": "100000",
        },
    )
    assert cpu.cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx2 avx512f", False), ("avx512f avx512_bf16", True), ("amx_tile amx_bf16", True)],
)
def test_bf16_is_fast_with_instructions_of_its_own(tmp_path: Path, flags: str, fast: bool) -> None:
    tree(tmp_path, {"proc/cpuinfo": f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n"})
    assert cpu.cpu_flags(tmp_path) == frozenset(flags.split())
    assert cpu.bf16_is_fast(tmp_path) is fast


def test_a_fraction_of_a_core_is_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_quota", lambda: 0.5)
    assert cpu.compute_threads() == 1
    monkeypatch.setattr(cpu, "cpu_quota", lambda: 3.9)
    assert cpu.compute_threads() == 3

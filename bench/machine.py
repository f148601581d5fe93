"""The machine: what it is, as results should say, and which cores a worker runs on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the numerical libraries below the peers read when they are imported."""


def describe() -> dict[str, Any]:
    """Processor, cores, caches, system, Python, and how busy the machine is."""
    return {
        "processor": _processor(),
        "cores": len(cores()),
        "caches": _caches(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cores() -> list[int]:
    """One logical processor of each core that this process may use."""
    first: dict[str, int] = {}
    for processor in _allowed():
        siblings = _read(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        first.setdefault(siblings or str(processor), processor)
    return list(first.values())


def thread_counts() -> list[int]:
    """One thread, and as many as there are cores."""
    return sorted({1, len(cores())})


def restrict(threads: int) -> bool:
    """Keep this process on so many cores; False where the system has no such call.

    JAX takes every core that it is allowed and has no setting for it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False
    own = cores()
    others = [processor for processor in _allowed() if processor not in own]
    os.sched_setaffinity(0, (own + others)[:threads])
    return True


def environment(threads: int) -> dict[str, str]:
    """The variables that a worker is started with."""
    return dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _processor() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _caches() -> str:
    """Of one core: ``48K L1, 2048K L2, ...``; empty where the system does not say."""
    found = []
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _read(cache / "type") != "Instruction":
            found.append(f"{_read(cache / 'size')} L{_read(cache / 'level')}")
    return ", ".join(found)


def _memory() -> str:
    pages, size = "SC_PHYS_PAGES", "SC_PAGE_SIZE"
    if not {pages, size} <= getattr(os, "sysconf_names", {}).keys():
        return ""
    return f"{os.sysconf(pages) * os.sysconf(size) / 2**30:.0f} GiB"


def _read(path: str | Path) -> str | None:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return None

"""An arm64 root of Debian's Python, and NumPy with what the tests need, unpacked into a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DEBIAN_PACKAGES = ["python3.11", "libpython3.11-dev", "libstdc++6"]
PYTHON_PACKAGES = ["numpy", "pytest", "hypothesis", "mpmath", "rich", "safetensors"]
PLATFORMS = ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"]


def unpacked(place: Path) -> Path:
    """Debian's packages with all they depend on, unpacked below ``place``; not installed."""
    root = place / "root"
    if (root / "usr/bin/python3.11").exists():
        return root
    settings = apt_settings(place / "apt")
    run("apt-get", "update", "-qq", settings=settings)
    options = ["install", "--download-only", "--no-install-recommends", "-y", "-qq"]
    run("apt-get", *options, *DEBIAN_PACKAGES, settings=settings)
    for archive in sorted((place / "apt/cache/archives").glob("*.deb")):
        run("dpkg-deb", "-x", archive, root)
    return root


def apt_settings(place: Path) -> Path:
    """Settings with which apt works on arm64 in a folder of its own, with the system's sources."""
    (place / "lists/partial").mkdir(parents=True, exist_ok=True)
    (place / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    settings = place / "apt.conf"
    settings.write_text(
        'APT::Architecture "arm64";\n'
        'APT::Architectures { "arm64"; };\n'
        f'Dir::State "{place}";\n'
        f'Dir::State::status "{place}/status";\n'
        f'Dir::Cache "{place}/cache";\n'
    )
    return settings


def packages(place: Path) -> Path:
    """Python's packages for arm64, in a folder below ``place``."""
    folder = place / "packages"
    if not folder.exists():
        platforms = [f"--platform={platform}" for platform in PLATFORMS]
        options = ["-q", "--only-binary=:all:", "--python-version=3.11", *platforms]
        pip = [sys.executable, "-m", "pip", "install"]
        run(*pip, *options, "--target", folder, *PYTHON_PACKAGES)
    return folder


def run(*command: str | Path, settings: Path | None = None) -> None:
    """Run a command; apt reads ``settings``."""
    environment = dict(os.environ)
    if settings is not None:
        environment["APT_CONFIG"] = str(settings)
    subprocess.run(command, check=True, env=environment)

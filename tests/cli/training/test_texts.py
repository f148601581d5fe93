"""The texts of ``pyrnn train``: folders, patterns, standard input; more than memory holds."""

import io
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn.cli._training import texts
from pyrnn.text import cache

QUICK = ("--hidden", 8, "--seq-len", 10, "--batch", 4, "--steps", 6)
LINE = "def f(x):\n    return 'é中' # " + "x" * 30 + "\n"


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is prepared in a file."""
    monkeypatch.setattr(texts, "CACHE_FROM", 1)


def model_bytes(name: str = "m") -> bytes:
    return Path(f"{name}.safetensors").read_bytes()


class TestNames:
    def test_folders_and_patterns_are_sorted(self, text: Path) -> None:
        for name in ("d/b.txt", "d/a/z.txt", "d/a/.hidden", "d/.git/config", "d/c.md", "e[1].txt"):
            Path(name).parent.mkdir(exist_ok=True, parents=True)
            Path(name).write_text(name)
        Path("d/empty.txt").touch()
        assert texts.expand(["d"]) == ["d/a/z.txt", "d/b.txt", "d/c.md"]
        assert texts.expand(["d/*.txt", "text.py"]) == ["d/b.txt", "text.py"]
        assert texts.expand(["d/**/*.txt"]) == ["d/a/z.txt", "d/b.txt"]
        assert texts.expand(["-", "e[1].txt", "nowhere"]) == ["-", "e[1].txt", "nowhere"]
        assert texts.expand([]) == []

    def test_are_trained_on_in_that_order(self, text: Path, run: Any) -> None:
        Path("d").mkdir()
        for name in ("b", "a", "c"):
            Path(f"d/{name}.txt").write_text(f"{name} is a text\n" * 30)
        run("train", "d", *QUICK, "--out", "m.safetensors")
        run("train", "d/a.txt", "d/b.txt", "d/c.txt", *QUICK, "--out", "n.safetensors")
        assert model_bytes() == model_bytes("n")

    def test_refused(self, text: Path, fails: Any) -> None:
        Path("d").mkdir()
        assert fails("train", "d") == "d: expected text files, found none"
        assert fails("train", "*.none") == "*.none: expected text files, found none"
        Path("d/picture.png").write_bytes(b"\x89PNG\r\n")
        assert fails("train", "d").startswith("d/picture.png: expected text in UTF-8, got 0x89")


class TestCache:
    def test_gives_the_same_bits(self, text: Path, run: Any, cached: None) -> None:
        Path("other.txt").write_text("0123456789é\n" * 50, encoding="utf-8")
        for extra in ((), ("--val", "other.txt")):
            out = run("train", text, "other.txt", *QUICK, *extra, "--out", "m", "--force").out
            assert "text      m.tokens\n" in out
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(texts, "CACHE_FROM", 1 << 23)
                out = run("train", text, "other.txt", *QUICK, *extra, "--out", "n", "--force").out
            assert "tokens" not in out
            assert Path("m").read_bytes() == Path("n").read_bytes()
        assert not Path("n.tokens").exists()

    def test_is_used_again(
        self, text: Path, run: Any, cached: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        then = time.time_ns() - 60 * 10**9
        os.utime(text, ns=(then, then))
        run("train", text, *QUICK, "--out", "m.safetensors")
        first = model_bytes()
        monkeypatch.setattr(cache, "prepare_file", None)
        assert run("train", text, *QUICK, "--out", "m.safetensors", "--force").status == 0
        assert model_bytes() == first

    def test_does_not_overwrite_another_file(self, text: Path, fails: Any, cached: None) -> None:
        Path("m.tokens").write_text("the only copy")
        message = fails("train", text, *QUICK, "--out", "m.safetensors")
        assert message == "--out: 'm.tokens' is there already; --force overwrites it"
        assert Path("m.tokens").read_text() == "the only copy"

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
    def test_a_full_disk_is_one_line(
        self, text: Path, fails: Any, cached: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pyrnn import _files

        def create(path: str, mode: int) -> Any:
            return open("/dev/full", "w+b")

        with monkeypatch.context() as patch:
            patch.setattr(_files, "check_writable", lambda path: None)
            patch.setattr("pyrnn.interop.serialization.check_writable", lambda path: None)
            patch.setattr(_files, "_create_locked", create)
            message = fails("train", text, *QUICK, "--out", "m.safetensors")
        assert message == "--out: cannot write 'm.tokens' (No space left on device)"


class TestStandardInput:
    def given(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    def test_is_read(self, text: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        run("train", text, *QUICK, "--out", "n.safetensors")
        for _ in range(2):  # it is read each time
            self.given(monkeypatch, text.read_bytes())
            out = run("train", "-", *QUICK, "--out", "m.safetensors", "--force").out
            assert "text      m.tokens\n" in out
            assert model_bytes() == model_bytes("n")

    def test_resumes_from_what_was_read(
        self, text: Path, run: Any, fails: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.given(monkeypatch, text.read_bytes())
        arguments = ("train", "-", *QUICK, "--checkpoint-every", 2, "--out", "m.safetensors")
        assert run(*arguments).status == 0
        first = model_bytes()
        monkeypatch.setattr(sys, "stdin", None)
        Path("m.safetensors").unlink()
        assert run("train", "--resume", "m.checkpoint.safetensors").status == 0
        assert model_bytes() == first
        Path("m.tokens").write_bytes(b"")
        assert fails("train", "--resume", "m.checkpoint.safetensors") == (
            f"--resume: {Path('m.tokens').resolve()}: expected what was read from the standard "
            "input, got a file that is damaged or missing"
        )
        monkeypatch.undo()

    def test_none(self, text: Path, fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert fails("train", "-", *QUICK) == "standard input: expected one to read, got none"

    @pytest.mark.skipif(os.name == "nt", reason="needs pipes as POSIX has them")
    def test_a_pipe_by_name(self, text: Path, run: Any) -> None:
        os.mkfifo("pipe")
        writer = subprocess.Popen(
            [sys.executable, "-c", "open('pipe', 'wb').write(open('text.py', 'rb').read())"]
        )
        assert run("train", "pipe", *QUICK, "--out", "m.safetensors").status == 0
        assert writer.wait(timeout=60) == 0
        assert Path("m.tokens").exists()


MEASURED = """
import os, resource, sys, time
begun = time.monotonic()
from pyrnn.cli import main
from pyrnn.cli._training.run import Training
usual = Training._record
def record(training, bits):
    usual(training, bits)
    if training.step == 1:
        print("first step", time.monotonic() - begun)
    if training.progress == 1:
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
        os._exit(0)
Training._record = record
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's unit of ru_maxrss")
@pytest.mark.parametrize(
    ("sizes", "most", "seconds"),
    [
        pytest.param((9, 60), 1.1, (math.inf, math.inf), id="short"),
        pytest.param((20, 2000), 1.3, (60, 5), id="long", marks=pytest.mark.long),
    ],
)
def test_memory_does_not_grow_with_the_text(
    sizes: tuple[int, int], most: float, seconds: tuple[float, float], text: Path, start: Any
) -> None:
    def measured(megabytes: int) -> tuple[float, float]:
        options = (*QUICK, "--out", f"m{megabytes}.safetensors", "--force")
        process = start("train", f"{megabytes}.txt", *options, code=MEASURED)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert f"text      m{megabytes}.tokens\n" in out
        return tuple(float(out.split(name)[1].split()[0]) for name in ("peak", "first step"))  # type: ignore[return-value]

    block = (LINE * (1_000_000 // len(LINE.encode()))).encode()
    for megabytes in sizes:
        with open(f"{megabytes}.txt", "wb") as file:
            for _ in range(megabytes):
                file.write(block)
        then = time.time_ns() - 60 * 10**9  # as it would be unless it was made just now
        os.utime(f"{megabytes}.txt", ns=(then, then))
    small, _ = measured(sizes[0])
    for limit in seconds:
        peak, first = measured(sizes[1])
        assert peak < most * small
        assert first < limit, (peak, small)
        if limit == math.inf:
            break
    tokens = cache.read(f"m{sizes[1]}.tokens", {"tokens": "characters"})
    assert tokens is not None
    assert tokens.tokens.dtype == np.uint8

"""Files: written whole or not at all, with the permissions that were, and nothing left beside."""

import contextlib
import errno
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn import _files, interop
from pyrnn._files import (
    check_writable,
    checked_path,
    open_regular,
    open_to_append,
    shown,
    write_atomically,
    written_beside,
)
from pyrnn.interop import keras, onnx, torch
from pyrnn.text import TokenizerVocabulary, cache

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions and locks")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
class TestPermissions:
    @pytest.mark.parametrize("before", [0o600, 0o640, 0o664, 0o755])
    @pytest.mark.parametrize("link", [False, True])
    def test_of_a_file_that_is_overwritten_stay(
        self, before: int, link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = target = tmp_path / "model"
        target.write_bytes(b"old")
        target.chmod(before)
        if link:
            path = tmp_path / "link"
            path.symlink_to(target)
        seen = []
        fsync = os.fsync
        monkeypatch.setattr(
            os, "fsync", lambda file: (seen.append(os.fstat(file).st_mode), fsync(file))
        )
        check_writable(path)
        write_atomically(path, b"new")
        assert target.read_bytes() == b"new"
        assert mode(target) == before
        assert [stat.S_IMODE(m) for m in seen] == [before]
        assert path.is_symlink() == link

    def test_are_never_wider_than_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "model"
        path.write_bytes(b"old")
        path.chmod(0o600)
        created = []
        real = os.open

        def record(name: str, flags: int, permissions: int = 0o777) -> int:
            created.append(permissions)
            return real(name, flags, permissions)

        monkeypatch.setattr(os, "open", record)
        write_atomically(path, b"new")
        assert created == [0o600]

    @pytest.mark.parametrize("mask", [0o022, 0o077])
    def test_of_a_new_file_follow_the_umask(self, mask: int, tmp_path: Path) -> None:
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / "model", b"new")
        finally:
            os.umask(before)
        assert mode(tmp_path / "model") == 0o666 & ~mask


class TestLeftovers:
    def test_of_a_killed_process_are_removed(self, tmp_path: Path) -> None:
        code = (
            "import os, signal, sys; from pyrnn._files import write_atomically\n"
            "os.fsync = lambda file: os._exit(9)\n"
            "write_atomically(sys.argv[1], b'half')"
        )
        path = tmp_path / "model"
        assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
        assert len(os.listdir(tmp_path)) == 1
        check_writable(path)
        assert os.listdir(tmp_path) == []

    @posix
    def test_of_a_process_that_is_writing_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "model"
        with _files._temporary(str(path), path) as (_, beside):
            check_writable(path)
            assert os.listdir(tmp_path) == [os.path.basename(beside)]

    @posix
    def test_one_taken_for_a_leftover_before_it_is_locked_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, calls = _files.fcntl.flock, []

        def removed_before(file: int, operation: int) -> None:
            if not calls:
                os.unlink(next(tmp_path.iterdir()))
            calls.append(operation)
            real(file, operation)

        monkeypatch.setattr(_files.fcntl, "flock", removed_before)
        write_atomically(tmp_path / "model", b"all")
        assert len(calls) == 2
        assert (tmp_path / "model").read_bytes() == b"all"

    def test_files_of_the_users_stay(self, tmp_path: Path) -> None:
        names = ["model.tmp", "model.x.tmp", "other.01234567.tmp", "model.01234567.tmp.old"]
        for name in names:
            (tmp_path / name).touch()
        check_writable(tmp_path / "model")
        assert sorted(os.listdir(tmp_path)) == sorted(names)


class TestNames:
    @pytest.mark.parametrize(
        "call", [checked_path, check_writable, lambda p: write_atomically(p, b"")]
    )
    def test_that_are_none(self, call: Callable[[Any], object]) -> None:
        class Wrong:
            def __fspath__(self) -> Any:
                return 1

        for wrong in (None, 1, 1.5, True, ["x"], bytearray(b"x"), Wrong()):
            with pytest.raises(TypeError, match=r"^path: expected a file name \(str, bytes or"):
                call(wrong)
        for empty in ("", b"", "a\0b", b"a\0b", "\ud800"):
            with pytest.raises(ValueError, match=r"^path: expected a file name, got '"):
                call(empty)

    def test_in_bytes(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path / "a\n") + b"\xff"
        write_atomically(path, b"all")
        assert os.listdir(os.fsencode(tmp_path)) == [b"a\n\xff"]
        with pytest.raises(OSError, match="it is a folder"):
            check_writable(os.fsencode(tmp_path))

    def test_are_shown_in_one_line(self) -> None:
        assert shown(b"model") == shown(Path("model")) == "model"
        assert shown("") == "''"
        assert shown(b"a\nb\xff") == r"'a\nb\udcff'"


@posix
@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
@pytest.mark.parametrize("call", [open_regular, lambda path: write_atomically(path, b"new")])
def test_only_regular_files(
    kind: str, call: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
    path = {"folder": ".", "device": os.devnull}.get(kind, "special")
    if kind == "pipe":
        os.mkfifo(path)
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "socket":
            server.bind(path)
        before = os.stat(path).st_mode
        with pytest.raises(OSError, match=r"it is (a folder|no regular file)|No such device"):
            call(path)
        assert os.stat(path).st_mode == before


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127])
def test_long_names(name: str, tmp_path: Path) -> None:
    check_writable(tmp_path / name)
    write_atomically(tmp_path / name, b"all")
    assert os.listdir(tmp_path) == [name]


def test_a_failure_leaves_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "model", b"all")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's error does not, unless it is that of opening a file."""

    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "model"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*model'") as caught:
        write_atomically(path, b"new")
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="No space left") as caught, written_beside(path) as file:
        os.fsync(file.fileno())
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


class FullDisk(io.FileIO):
    """A file that takes no byte: closing it tries again to write what a buffer still has."""

    def write(self, data: object, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_names_the_file_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    monkeypatch.setattr(
        _files, "_create_locked", lambda path, _: io.BufferedRandom(FullDisk(path, "w+"))
    )
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, b"new")
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", [check_writable, lambda path: write_atomically(path, b"new")])
def test_a_folder_that_takes_no_file_is_not_named_by_a_temporary_one(
    call: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError) as caught:
        call(tmp_path / "model")
    assert caught.value.filename == str(tmp_path / "model")


class TestAppending:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        for line in ("a\r\n", "b\n"):
            with open_to_append(path) as file:
                file.write(line)
            path.chmod(0o600)
        assert path.read_bytes() == b"a\r\nb\n"
        if os.name != "nt":
            assert mode(path) == 0o600

    @posix
    def test_a_pipe_that_nobody_reads_does_not_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match=r"it is a pipe that nobody reads: .*pipe'"):
            open_to_append(tmp_path / "pipe")

    @posix
    def test_a_pipe_that_is_read_takes_any_length(self, tmp_path: Path) -> None:
        path, copy = tmp_path / "pipe", tmp_path / "copy"
        os.mkfifo(path)
        with copy.open("wb") as output, subprocess.Popen(["cat", path], stdout=output):
            for _ in range(1000):
                with contextlib.suppress(OSError), open_to_append(path) as file:
                    file.write("x" * 300_000)  # more than a pipe holds
                    break
                time.sleep(0.01)  # the reader is not there yet
        assert copy.read_bytes() == b"x" * 300_000

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"directory|Permission"):
            open_to_append(tmp_path)


def trained(callback: pyrnn.callbacks.Callback) -> None:
    layer = pyrnn.GRU(2, 3, seed=0)
    trainer = pyrnn.Trainer(layer, "mse", pyrnn.SGD(layer.parameters))
    trainer.fit((np.ones((2, 4, 2), "f"), np.ones((2, 4, 3), "f")), epochs=1, callbacks=[callback])


READERS: dict[str, Callable[[str], object]] = {
    "model": pyrnn.load,
    "converted model": interop.load,
    "onnx": onnx.layers,
    "keras": keras.load,
    "torch": torch.read,
    "history": pyrnn.report.load,
    "tokenizer": TokenizerVocabulary,
    "checkpoint": lambda path: trained(pyrnn.callbacks.BackupAndRestore(path)),
    "csv": lambda path: trained(pyrnn.callbacks.CSVLogger(path)),
    "json": lambda path: trained(pyrnn.callbacks.JSONLogger(path, append=True)),
    "model checkpoint": lambda path: trained(pyrnn.callbacks.ModelCheckpoint(path)),
    "run": lambda path: trained(pyrnn.callbacks.RunLogger(path)),
}

PACKAGES = {"onnx": "onnx", "keras": "h5py", "tokenizer": "tokenizers"}


@posix
@pytest.mark.parametrize("name", READERS)
def test_a_pipe_keeps_nothing_waiting(name: str, tmp_path: Path) -> None:
    """What reads or writes a file that is not a text says at once that a pipe is none."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the pipe"))
    signal.alarm(20)
    try:
        with pytest.raises((OSError, ValueError), match=r"pipe|no regular file"):
            READERS[name](path)
        assert cache.read(path, {}) is None
        assert not cache.is_ours(path)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

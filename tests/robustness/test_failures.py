"""Tools that are missing or hang, full disks, signals, defects: nothing half-made stays, and a sentence says why."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.onnx_models import flatten_net
from tests.support.refusals import deploy, refused, run, save


def tools(folder: Path, *names: str) -> Path:
    """A folder with nothing but links to those tools, and to what they call."""
    folder.mkdir()
    for name in ("sh", "as", "ld", "collect2", *names):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


@pytest.mark.parametrize(
    ("device", "present", "package"),
    [
        ("nucleo-l4r5zi", ("gcc",), "apt-get install gcc-arm-none-eabi"),
        ("nucleo-l4r5zi", ("gcc", "arm-none-eabi-gcc"), "apt-get install qemu-system-arm"),
        ("host", (), "apt-get install gcc"),
    ],
)
def test_missing_tool(
    place: Path, monkeypatch: pytest.MonkeyPatch, device: str, present: tuple[str, ...], package: str
) -> None:
    model = save(place / "m.onnx", flatten_net())
    monkeypatch.setenv("PATH", str(tools(place.parent / "bin", *present)))
    refused(5, "deploy", model, "--device", device, "--samples", "1", "-o", place / "out", says=package)


def test_doctor_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools(place.parent / "bin")))
    result = run("doctor", "--json")
    assert result.exit_code == 5
    assert "apt-get install qemu-system-arm" in result.stderr
    assert all(tool["version"] is None for tool in json.loads(result.stdout)["tools"])


def test_emulator_that_hangs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import emulate

    model, fake = save(place / "m.onnx", flatten_net()), place.parent / "bin"
    fake.mkdir()
    qemu = save(fake / "qemu-system-arm", "#!/bin/sh\necho stuck here\nexec sleep 600\n")
    qemu.chmod(qemu.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setattr(emulate, "run", functools.partial(emulate.run, timeout_s=0.5))
    started = time.monotonic()
    result = run("deploy", model, "--device", "nucleo-l4r5zi", "--samples", "1", "-o", place / "out")
    assert time.monotonic() - started < 60
    assert result.exit_code == 4, result.stderr
    log = re.search(r"output is in (\S+log\.txt)", result.stderr)
    assert log is not None, result.stderr
    assert Path(log[1]).read_text() == "stuck here\n"
    assert sorted(place.iterdir()) == [model]


@pytest.mark.parametrize("number", [0, 2, 5])
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError(errno.EIO, "Input/output error"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=["full", "broken", "interrupted"],
)
def test_failure_while_the_bundle_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int, failure: BaseException, status: int
) -> None:
    from edgeprune import pipeline

    model = save(place / "m.onnx", flatten_net())
    write = pipeline.write_files

    def fail(directory: Path, files: dict[str, str | bytes]) -> None:
        write(directory, dict(list(files.items())[:number]))
        raise failure

    monkeypatch.setattr(pipeline, "write_files", fail)
    refused(status, *deploy(model))


def test_failure_keeps_the_bundle_that_was_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import pipeline

    model = save(place / "m.onnx", flatten_net())
    assert run(*deploy(model)).exit_code == 0
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def fail(directory: Path, files: dict[str, str | bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline, "write_files", fail)
    refused(1, *deploy(model), says="No space left")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def process(place: Path, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(place.parent / "scratch")}
    command = [sys.executable, "-m", "edgeprune", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_in_the_middle_of_a_run(place: Path, sent: signal.Signals, status: int) -> None:
    model = save(place / "m.onnx", flatten_net())
    # A shell starts what it runs in the background with SIGINT ignored, and processes inherit that.
    running = process(place, *deploy(model), preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL))
    while running.poll() is None and len(list(place.iterdir())) < 2:
        time.sleep(0.02)
    running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == status, said
    assert "Traceback" not in said
    assert list(place.iterdir()) == [model]
    assert list((place.parent / "scratch").iterdir()) == []


def test_files_that_cannot_grow(place: Path) -> None:
    """A limit on file size stands in for a full disk: it hits compilers and our own writing alike."""
    model = save(place / "m.onnx", flatten_net())
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000))
    running = process(place, *deploy(model), preexec_fn=limit)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert "Traceback" not in said
    assert list(place.iterdir()) == [model]


def test_defect_is_one_line_and_its_traceback_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import pipeline

    def break_down(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(pipeline, "compress", break_down)
    result = run(*deploy(save(place / "m.onnx", flatten_net())))
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    kept = re.search(r"report it with (\S+\.txt)", result.stderr)
    assert kept is not None, result.stderr
    assert "ZeroDivisionError" in Path(kept[1]).read_text()
    assert "Traceback" in run(*deploy(place / "m.onnx", "--debug")).stderr

"""`chaingraph demo` as a person runs it: in a pipe, on a terminal, interrupted, in the wrong folder."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chaingraph_cli.cluster.state import StateFolder, leftovers, supervised
from chaingraph_cli.errors import ExamplesInvalid
from chaingraph_cli.local import examples

ROOT = Path(__file__).parents[2]
DEMO = [str(Path(sys.executable).parent / "chaingraph"), "demo"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def _nothing_runs(state: Path) -> bool:
    remembered = StateFolder.at(state).load()
    return remembered is None or (not supervised(remembered) and not leftovers(remembered))


@pytest.mark.long
@pytest.mark.integration
@pytest.mark.timeout(400)
def test_demo_completes_in_a_pipe(tmp_path: Path) -> None:
    """Run from another folder, as an editable install allows: the examples of the checkout are found."""
    state = tmp_path / "state"
    done = subprocess.run([*DEMO, "--state", str(state)], cwd=tmp_path, capture_output=True, text=True, timeout=350)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 17 executions are as expected." in done.stdout
    assert "    Seattle in 2015: 1,139 mm of rain; warmest on 2015/07/19 with 35.0 °C" in done.stdout
    assert "children: 19 of 19 descendants completed" in done.stdout
    assert "Failed, as expected: node fetch:" in done.stdout
    assert "Waiting at ask: Release v1.2.3 of weather-report" in done.stdout
    assert "\x1b" not in done.stdout
    assert _nothing_runs(state)


@pytest.mark.long
@pytest.mark.integration
@pytest.mark.timeout(400)
def test_demo_on_terminal_reports_unexpected_phase(tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    (folder / "data").mkdir(parents=True)
    for name in ("01-hello.yaml", "07-failure.yaml"):
        text = (ROOT / "examples" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("expected-phase: Failed", "expected-phase: Completed"), "utf-8")
    state = tmp_path / "state"
    code, shown = _on_a_terminal([*DEMO, "--examples", str(folder), "--state", str(state)])
    assert code == 1, shown
    assert "EXECUTION" in shown
    assert "failure is Failed, expected Completed." in shown
    assert _nothing_runs(state)


def _on_a_terminal(argv: list[str]) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(ours, 65536):
                shown.extend(chunk)
        except OSError:
            # EIO: the last process with this terminal has ended
            pass

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait(350)
    reader.join(10)
    os.close(ours)
    return code, ESCAPE.sub("", shown.decode(errors="replace"))


@pytest.mark.long
@pytest.mark.integration
@pytest.mark.timeout(400)
@pytest.mark.parametrize("when", ["Starting a cluster", "Applying"])
def test_demo_cleans_up_on_interrupt(when: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    log = tmp_path / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*DEMO, "--keep", "--state", str(state)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # A suite that itself runs in the background of a script has inherited that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    deadline = time.monotonic() + 200
    while when not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert _nothing_runs(state)


def test_demo_reports_missing_examples_folder(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "--examples", str(tmp_path / "nowhere")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: {tmp_path / 'nowhere'} is not a folder.",
        "Set the folder of the examples: --examples DIR",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod", "apiVersion must be chaingraph.dev/v1alpha1"),
        ("apiVersion: chaingraph.dev/v1alpha1\nkind: Flo\n", "kind must be Flow or Execution, is 'Flo'"),
        ("apiVersion: chaingraph.dev/v1alpha1\nkind: Flow\n", "metadata.name is missing"),
        ("a: [", "Cannot read "),
        (
            "apiVersion: chaingraph.dev/v1alpha1\nkind: Execution\n"
            "metadata: {name: a, annotations: {chaingraph.dev/expected-phase: Done}}\n",
            "the annotation chaingraph.dev/expected-phase must be one of Running, Paused, Completed, Failed, Stopped, "
            "is 'Done'",
        ),
    ],
)
def test_invalid_example_is_rejected_with_its_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ExamplesInvalid) as refused:
        examples.load(tmp_path)
    assert f"{tmp_path / 'wrong.yaml'}" in str(refused.value)
    assert message in str(refused.value)

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from utils.runs.environment import REPOSITORY
from utils.training.signals import INTERRUPTED, SAME_REQUEST, StopSignal

# Counts how often it comes by; `wait` is what keeps it busy in between.
LOOP = """
import hashlib, sys, time
sys.path.insert(0, {root!r})
from utils.training.signals import StopSignal
if {ignored}:
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
with StopSignal() as stop:
    print("ready", flush=True)
    while not stop.requested:
        {wait}
    print("saved", flush=True)
    time.sleep({saving})
"""
# One call into C that lasts minutes and lets other threads run, as TensorFlow's calls do.
LONG_CALL = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)'


@pytest.fixture
def start():
    """Start the loop in a process of its own; return when it waits for a signal."""
    running = []

    def run(wait: str = "time.sleep(0.01)", saving: int = 0, ignored: bool = False):
        text = LOOP.format(root=str(REPOSITORY), wait=wait, saving=saving, ignored=ignored)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", text], **pipes))
        assert running[-1].stdout.readline() == "ready\n"
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", StopSignal.SIGNALS)
def test_the_first_signal_is_a_request(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("number", StopSignal.SIGNALS)
def test_one_signal_lets_the_loop_come_to_its_end(start, number):
    process = start()
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "saved\n") and "a second time stops at once" in error


@pytest.mark.parametrize("second", StopSignal.SIGNALS)
@pytest.mark.parametrize("saving", [False, True])
def test_the_second_signal_stops_at_once(start, second, saving):
    process = start(saving=100) if saving else start(LONG_CALL)
    time.sleep(0.3)  # until it is in the call
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert "stopping as soon as the state is saved" in process.stderr.readline()
    if saving:
        assert process.stdout.readline() == "saved\n"
    assert process.poll() is None
    time.sleep(SAME_REQUEST)
    process.send_signal(second)
    out, error = process.communicate(timeout=5)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert "stopped without saving; --resume" in error


def test_a_request_that_arrives_twice_is_one(start):
    """GNU timeout signals the process and its group."""
    process = start()
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "saved\n") and error.count("stopping as soon") == 1


def test_what_a_process_ignores_it_goes_on_ignoring(start):
    process = start(ignored=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "saved\n"


def test_a_failure_restores_the_handlers():
    before = [signal.getsignal(number) for number in StopSignal.SIGNALS]
    with pytest.raises(RuntimeError), StopSignal():
        raise RuntimeError
    assert [signal.getsignal(number) for number in StopSignal.SIGNALS] == before


LEFT_OPEN = f"""
import os, sys, threading, time
sys.path.insert(0, {str(REPOSITORY)!r})
from utils.training.signals import StopSignal
counts = lambda: (len(os.listdir("/proc/self/fd")), threading.active_count())
before = counts()
for _ in range(20):
    with StopSignal():
        pass
end = time.monotonic() + 20
while counts() != before and time.monotonic() < end:
    time.sleep(0.01)
print(before == counts())
"""


def test_nothing_is_left_open():
    command = [sys.executable, "-c", LEFT_OPEN]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "True\n"


def test_other_threads_never_see_a_request():
    seen = []

    def work():
        with StopSignal() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]

from __future__ import annotations

import signal
import threading

import pytest

from utils.signals import StopSignal


@pytest.mark.parametrize("number", StopSignal.SIGNALS)
def test_the_first_signal_is_a_request(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
    assert signal.getsignal(number) is before


def test_the_second_signal_stops_at_once():
    with pytest.raises(KeyboardInterrupt), StopSignal() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_failure_restores_the_handlers():
    before = [signal.getsignal(number) for number in StopSignal.SIGNALS]
    with pytest.raises(RuntimeError), StopSignal():
        raise RuntimeError
    assert [signal.getsignal(number) for number in StopSignal.SIGNALS] == before


def test_other_threads_never_see_a_request():
    seen = []

    def work():
        with StopSignal() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]

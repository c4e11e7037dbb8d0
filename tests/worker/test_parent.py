"""A worker that hears nothing though messages wait."""

from __future__ import annotations

from worker.parent import DEAF_SECONDS, Hearing


def test_messages_that_wait_beside_idle_processes_for_long_mean_deafness() -> None:
    hearing = Hearing(0.0)
    assert not hearing.note(1.0, waiting=3, busy=False)
    assert not hearing.note(DEAF_SECONDS, waiting=3, busy=False)
    assert hearing.note(DEAF_SECONDS + 1, waiting=3, busy=False)


def test_an_empty_queue_busy_processes_or_a_message_are_no_deafness() -> None:
    hearing = Hearing(0.0)
    assert not hearing.note(100.0, waiting=0, busy=False)
    assert not hearing.note(200.0, waiting=3, busy=True)
    hearing.heard(300.0)
    assert not hearing.note(305.0, waiting=3, busy=False)

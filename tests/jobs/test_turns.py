import threading
from contextlib import suppress

from jobs.turns import Turns


def asked(turns, n):
    """Wait until so many have asked for a turn."""
    while len(turns._waiting) < n:
        threading.Event().wait(0.001)


def test_turns_come_in_the_order_of_asking_and_who_had_one_goes_to_the_end():
    turns, order = Turns(), []

    def work(name):
        with turns.turn():
            order.append(name)

    with turns.turn():
        threads = []
        for n, name in enumerate("abc", 2):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            asked(turns, n)
    with turns.turn():  # it asks again, behind the three
        order.append("first")
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "first"]


def test_a_turn_ends_with_an_error():
    turns = Turns()
    for _ in range(2):  # the second would wait for ever
        with suppress(KeyError), turns.turn():
            raise KeyError
    assert not turns._waiting

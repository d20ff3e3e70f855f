"""Tests of prefetching: order, depth, exceptions, and the end of the thread."""

import threading
import time

import pytest

from deqjax.data import prefetch


def running():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def test_items_come_in_order_from_any_start():
    items = prefetch(lambda step: step * step, start=4, depth=3)
    assert [next(items) for _ in range(5)] == [16, 25, 36, 49, 64]
    items.close()
    assert not running()


@pytest.mark.parametrize("depth", [1, 3])
def test_makes_depth_items_ahead_and_not_more(depth):
    made: list[int] = []
    items = prefetch(made.append, depth=depth)
    assert not running(), "nothing starts before the first item"
    next(items)
    assert wait_for(lambda: len(made) == depth + 1)
    time.sleep(0.02)
    assert made == list(range(depth + 1))
    items.close()


def test_worker_runs_while_the_consumer_works():
    """With depth 1 the worker makes an item while the consumer holds the previous one."""
    started = threading.Event()
    items = prefetch(lambda step: started.set() if step == 1 else step, depth=1)
    next(items)
    assert started.wait(5)
    items.close()


def test_exception_is_raised_when_its_item_is_due_and_ends_the_thread():
    def make(step):
        if step == 2:
            raise ValueError("slice 2 is broken")
        return step

    items = prefetch(make)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="slice 2 is broken"):
        next(items)
    assert not running()


def test_closing_cancels_items_that_were_not_started():
    made = []

    def make(step):
        time.sleep(0.01)
        made.append(step)

    items = prefetch(make, depth=50)
    next(items)
    items.close()
    assert not running()
    assert len(made) < 50


def test_deleting_the_generator_ends_the_thread():
    items = prefetch(lambda step: step)
    next(items)
    assert running()
    del items
    assert not running()


def test_depth_below_one_raises():
    with pytest.raises(ValueError, match="depth must be at least 1"):
        prefetch(lambda step: step, depth=0)

"""Workers over streams: how many at once, what is finished, what is dropped, when errors show."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from evalkit.core import streams
from evalkit.core.streams import Stopped, each, gathered, merge, of, tee
from tests import virtual_time


def run(coroutine):
    """In virtual time; a hang is a failure and no task may be left over."""

    async def limited():
        async with asyncio.timeout(20):
            result = await coroutine
        await asyncio.sleep(0.01)  # generators that were dropped half read are closed by tasks of the loop
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return virtual_time.run(limited())


class Work:
    """Counts what is begun, under way and finished."""

    def __init__(self, seconds=0.002, fails=(), error=ValueError):
        self.begun, self.finished, self.cancelled = [], [], []
        self.most = 0
        self._seconds, self._fails, self._error = seconds, fails, error

    @property
    def under_way(self):
        return len(self.begun) - len(self.finished) - len(self.cancelled)

    async def __call__(self, number):
        self.begun.append(number)
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        self.finished.append(number)
        if number in self._fails:
            raise self._error(number)
        return number


class Counting:
    """A stream that knows how far it was read and whether it was closed."""

    def __init__(self, count):
        self.count, self.read, self.closed = count, 0, False

    async def __call__(self):
        try:
            for number in range(self.count):
                self.read += 1
                yield number
                await asyncio.sleep(0)
        finally:
            self.closed = True


# each


@pytest.mark.parametrize(("count", "workers"), [(0, 3), (1, 3), (50, 1), (50, 7), (7, 50)])
def test_each_does_everything_once_and_no_more_than_its_workers_at_once(count, workers):
    work, source = Work(seconds=0.1), Counting(count)
    assert sorted(run(gathered(each(source(), work, workers=workers)))) == list(range(count))
    assert sorted(work.finished) == list(range(count))
    assert work.most == min(count, workers)
    assert source.closed


def test_each_yields_as_results_arrive():
    async def delayed(number):
        await asyncio.sleep((5 - number) * 0.02)
        return number

    assert run(gathered(each(of(range(5)), delayed, workers=5))) == [4, 3, 2, 1, 0]


def test_the_first_error_is_raised_after_work_under_way_and_stops_the_rest():
    work, source, seen = Work(fails={3, 4}), Counting(1000), []

    async def slow_except_three(number):
        await asyncio.sleep(0.3 * (number != 3))
        return await work(number)

    async def consume():
        async for result in each(source(), slow_except_three, workers=5):
            seen.append(result)

    with pytest.raises(ValueError, match="3"):
        run(consume())
    assert work.begun == [3, 0, 1, 2, 4]
    assert sorted(work.finished) == [0, 1, 2, 3, 4]
    assert seen == [0, 1, 2]  # finished and not lost, though later than the error
    assert source.read <= 6
    assert source.closed


def test_an_item_awaited_while_an_error_strikes_is_not_begun():
    work = Work(seconds=0.02, fails={0})

    async def slow_source():
        yield 0
        await asyncio.sleep(0.3)
        yield 1

    with pytest.raises(ValueError, match="0"):
        run(gathered(each(slow_source(), work, workers=2)))
    assert work.begun == [0]


def test_a_group_is_done_in_order_by_one_worker_and_idle_workers_help_from_the_back():
    begun = []

    async def do(item):
        begun.append((item, asyncio.current_task()))
        await asyncio.sleep(0)
        return item

    async def main():
        groups = [[], list("abc"), list("x"), [], list("123456789")]
        return await gathered(streams.each_of_groups(of(groups), do, workers=2))

    assert sorted(run(main())) == sorted("abcx123456789")
    order = "".join(item for item, _ in begun)
    assert order.index("a") < order.index("b") < order.index("c")
    assert len({worker for item, worker in begun if item in "abc"}) == 1
    first = next(worker for item, worker in begun if item == "1")
    assert next(worker for item, worker in begun if item == "9") != first
    helped = [item for item, worker in begun if item.isdigit() and worker != first]
    assert helped == sorted(helped, reverse=True)


def test_an_error_in_a_group_leaves_the_rest_of_all_groups_undone():
    work = Work(fails={1})

    async def main():
        async for _ in streams.each_of_groups(of([[0, 1, 2, 3], [10, 11, 12, 13]]), work, workers=2):
            pass

    with pytest.raises(ValueError):  # noqa: PT011
        run(main())
    assert {2, 3, 13}.isdisjoint(work.begun)
    assert work.under_way == 0


def test_an_error_of_the_source_is_raised_after_work_under_way():
    work = Work(seconds=0.05)

    async def source():
        yield 1
        yield 2
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        run(gathered(each(source(), work, workers=4)))
    assert work.finished == [1, 2]


def test_stopped_ends_quietly():
    work = Work(fails={5}, error=Stopped)
    results = run(gathered(each(of(range(100)), work, workers=3)))
    assert set(results) == set(work.finished) - {5}
    assert len(work.begun) <= 9


def test_a_consumer_that_leaves_early_waits_for_work_under_way():
    work, source = Work(), Counting(100)

    async def leave():
        async with aclosing(each(source(), work, workers=4)) as results:
            async for _ in results:
                break
        assert work.under_way == 0
        return len(work.begun)

    begun = run(leave())
    assert begun == len(work.finished) < 20
    assert source.closed


def test_an_error_of_the_consumer_waits_for_work_under_way():
    work = Work()

    async def fail():
        async with aclosing(each(of(range(100)), work, workers=4)) as results:
            async for _ in results:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(fail())
    assert work.under_way == 0
    assert not work.cancelled


def test_a_cancelled_consumer_lets_work_under_way_finish():
    work = Work(seconds=0.4)

    async def cancel():
        task = asyncio.create_task(gathered(each(of(range(100)), work, workers=4)))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert work.begun == work.finished == [0, 1, 2, 3]


def test_cancelled_twice_it_drops_work_under_way():
    work = Work(seconds=30)

    async def cancel():
        task = asyncio.create_task(gathered(each(of(range(100)), work, workers=4)))
        for _ in range(2):
            await asyncio.sleep(0.03)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert work.cancelled == [0, 1, 2, 3]


@pytest.mark.parametrize("streams_of", [lambda *parts: each(of(range(50)), parts[0], workers=4), merge])
def test_cancelling_every_task_ends_at_once(streams_of):
    work = Work(seconds=30)

    async def cancel():
        parts = (work,) if streams_of is not merge else [each(of(range(9)), work, workers=2) for _ in range(2)]
        task = asyncio.create_task(gathered(streams_of(*parts)))
        await asyncio.sleep(0.03)
        for one in asyncio.all_tasks() - {asyncio.current_task()}:
            one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert work.cancelled


def test_a_slow_consumer_holds_the_workers_back(monkeypatch):
    monkeypatch.setattr(streams, "BUFFER", 5)
    work, source = Work(seconds=0), Counting(1000)

    async def consume():
        most = 0
        async with aclosing(each(source(), work, workers=3)) as results:
            seen = 0
            async for _ in results:
                seen += 1
                await asyncio.sleep(0.002)
                most = max(most, len(work.begun) - seen)
                if seen == 40:
                    break
        return most

    assert run(consume()) <= 5 + 3 + 1
    assert source.read < 60


def test_leaving_with_a_full_buffer_does_not_hang(monkeypatch):
    monkeypatch.setattr(streams, "BUFFER", 2)
    work = Work(seconds=0)

    async def leave(stream):
        async with aclosing(stream) as results:
            async for _ in results:
                await asyncio.sleep(0.02)
                break

    run(leave(each(of(range(100)), work, workers=4)))
    assert work.under_way == 0
    run(leave(merge(of(range(100)), each(of(range(100)), work, workers=4))))
    assert work.under_way == 0


# merge


def test_merge_yields_everything_of_every_stream():
    assert run(gathered(merge())) == []
    merged = run(gathered(merge(of("abc"), of(""), of("de"))))
    assert sorted(merged) == list("abcde")
    assert [item for item in merged if item in "abc"] == list("abc")


def test_merge_does_not_wait_for_the_slower_stream():
    async def slow():
        await asyncio.sleep(0.05)
        yield "slow"

    assert run(gathered(merge(slow(), of("ab")))) == ["a", "b", "slow"]


def test_the_first_error_of_merged_streams_ends_all_in_order():
    good, bad = Work(seconds=0.05), Work(fails={2})
    sources = Counting(1000), Counting(1000)
    merged = merge(each(sources[0](), good, workers=2), each(sources[1](), bad, workers=2))
    with pytest.raises(ValueError, match="2"):
        run(gathered(merged))
    assert good.under_way == bad.under_way == 0
    assert len(good.begun) <= 6
    assert all(source.closed for source in sources)


def test_merge_raises_an_error_that_struck_while_others_still_went_on():
    """It does not wait for the long stream to end."""
    long = Work(seconds=0.01)

    async def broken():
        yield 0
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        run(gathered(merge(each(of(range(2000)), long, workers=1), broken())))
    assert len(long.finished) < 100


# tee


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_tee_gives_every_copy_everything(copies):
    source = Counting(20)

    async def read():
        return await asyncio.gather(*map(gathered, tee(source(), copies)))

    assert run(read()) == [list(range(20))] * copies
    assert source.read == 20


def test_tee_reads_no_further_than_its_fastest_copy():
    source = Counting(100)

    async def read():
        fast, slow = tee(source(), 2)
        for expected in range(10):
            assert await anext(fast) == expected
        assert source.read == 10
        assert [await anext(slow) for _ in range(10)] == list(range(10))
        assert source.read == 10

    run(read())


def test_tee_under_workers_shares_the_order_and_the_work():
    source, works = Counting(60), [Work(seconds=0), Work(seconds=0.001)]

    async def read():
        copies = tee(source(), 2)
        return await gathered(merge(*(each(copy, work, workers=5) for copy, work in zip(copies, works, strict=True))))

    assert sorted(run(read())) == sorted([*range(60), *range(60)])
    assert source.read == 60
    assert works[0].begun == works[1].begun == list(range(60))


def test_an_error_behind_a_tee_is_raised():
    async def broken():
        yield 0
        raise OSError("broken")

    async def read():
        return await gathered(merge(*(each(copy, Work(), workers=3) for copy in tee(broken(), 2))))

    with pytest.raises(OSError, match="broken"):
        run(read())

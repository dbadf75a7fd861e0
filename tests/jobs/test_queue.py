import logging
import threading
import time
from types import SimpleNamespace

import pytest

from common.errors import InputError
from jobs import queue as queue_module
from jobs.queue import N_REMEMBERED, Job, JobQueue, State

WAIT_S = 10


class Gate:
    """Work that stops at a gate after its first report, so that a test can look at it."""

    def __init__(self, total=4):
        self.reached, self.open, self.total, self.runs = threading.Event(), threading.Event(), total, 0

    def __call__(self, job):
        self.runs += 1
        job.say("first")
        job.report(1, self.total)
        self.reached.set()
        assert self.open.wait(WAIT_S)
        for done in range(2, self.total + 1):
            job.report(done, self.total)
        return "result"


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def queue():
    return JobQueue(background=1, interactive=1).of("me")


def test_a_job_waits_runs_and_ends_with_its_result(queue, gate):
    job = queue.submit(Job("count", gate))
    assert gate.reached.wait(WAIT_S)
    assert (job.state, job.active, job.fraction, job.note) == (State.RUNNING, True, 0.25, "first")
    assert not job.wait(0.01)
    gate.open.set()
    assert job.wait(WAIT_S)
    assert (job.state, job.active, job.result, job.fraction) == (State.DONE, False, "result", 1.0)
    assert job.seconds > 0


@pytest.fixture
def clock(monkeypatch):
    """Goes on by as many seconds as it is told."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(queue_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def count(job, clock, *seconds: float, done: int = 0, total: int = 100) -> Job:
    """Reports of one thing after another, each after so many seconds."""
    job.report(done, total)
    for number, pause in enumerate(seconds, done + 1):
        clock.now += pause
        job.report(number, total)
    return job


def test_time_left_follows_from_the_rate_so_far(clock):
    job = Job("count", lambda job: None)
    assert (job.seconds, job.rate, job.seconds_left, job.fraction) == (0, 0, None, 0)
    count(job, clock, *[0.5] * 20)
    assert job.rate == pytest.approx(2)
    assert job.seconds_left == pytest.approx(40)


def test_what_an_earlier_run_finished_counts_as_done_but_not_as_speed(clock):
    job = count(Job("count", lambda job: None), clock, *[1] * 10, done=80)
    assert job.fraction == 0.9
    assert job.seconds_left == pytest.approx(10)


def test_what_came_before_counting_is_no_part_of_the_speed(clock):
    job = Job("count", lambda job: None, started=clock.now)
    clock.now += 1000
    count(job, clock, *[1] * 10)
    assert job.seconds_left == pytest.approx(90)


@pytest.mark.parametrize(
    "seconds", [[0.1] * 10 + [5] * 4, [30] * 4 + [0.2] * 6, [0.1] * 5], ids=["slower", "faster", "new"]
)
def test_no_end_is_foretold_while_the_speed_changes_or_is_not_known_yet(clock, seconds):
    assert count(Job("count", lambda job: None), clock, *seconds).seconds_left is None


def test_a_job_that_stands_still_foretells_no_end(clock):
    job = count(Job("count", lambda job: None), clock, *[1] * 10)
    clock.now += 60
    assert job.seconds_left is None


def test_another_total_begins_the_count_anew(clock):
    job = count(Job("count", lambda job: None), clock, *[0.01] * 99)
    count(job, clock, *[2] * 10, done=0, total=1000)
    assert job.rate == pytest.approx(0.5)
    assert job.seconds_left == pytest.approx(1980)


def test_thousands_of_reports_keep_the_speed_and_little_memory(clock):
    job = count(Job("count", lambda job: None), clock, *[0.01] * 5000, total=10_000)
    assert job.rate == pytest.approx(100, rel=0.05)
    assert job.seconds_left == pytest.approx(50, rel=0.1)
    assert len(job._counts) < 1000


def test_the_clock_stops_when_a_job_ends(queue):
    job = queue.submit(Job("nothing", lambda job: None))
    assert job.wait(WAIT_S)
    seconds = job.seconds
    time.sleep(0.02)
    assert job.seconds == seconds


def test_a_running_job_is_cancelled_at_its_next_report(queue, gate):
    job = queue.submit(Job("count", gate))
    assert gate.reached.wait(WAIT_S)
    job.cancel()
    assert (job.state, job.cancelling) == (State.RUNNING, True)
    gate.open.set()
    assert job.wait(WAIT_S)
    assert (job.state, job.done, job.result, job.error) == (State.CANCELLED, 1, None, "")


def test_only_what_somebody_stopped_is_stopped(queue, gate):
    stopped, cancelled = queue.submit(Job("count", gate, parts=frozenset("ab"))), Job("count", gate)
    stopped.stop()
    cancelled.cancel()
    assert (stopped.stopped, stopped.cancelling) == (True, True)
    assert (cancelled.stopped, cancelled.cancelling) == (False, True)
    assert queue.last_at(frozenset("bc")) is stopped
    assert queue.last_at(frozenset("c")) is None


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(queue, gate):
    queue.submit(Job("first", gate))
    never = Gate()
    job = queue.submit(Job("second", never))
    job.cancel()
    assert job.wait(0)
    assert job.state is State.CANCELLED
    gate.open.set()
    last = queue.submit(Job("third", lambda job: "ran"))
    assert last.wait(WAIT_S)
    assert (last.result, never.runs) == ("ran", 0)


def test_cancelling_what_has_ended_changes_nothing(queue):
    job = queue.submit(Job("nothing", lambda job: 7))
    assert job.wait(WAIT_S)
    job.cancel()
    assert (job.state, job.result) == (State.DONE, 7)


def test_a_job_cancelled_as_it_starts_is_either_run_or_not_but_never_both():
    for _ in range(200):
        ran = []
        job = Job("race", lambda job, ran=ran: ran.append(1))
        worker = threading.Thread(target=job.run)
        worker.start()
        job.cancel()
        worker.join()
        assert job.state is (State.DONE if ran else State.CANCELLED)


def fail_with(error):
    def work(job):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("Expected a cat, got a dog. Bring a cat."), "Expected a cat, got a dog. Bring a cat."),
        (ValueError("two\n  lines"), "two lines"),
        (RuntimeError("CUDA error\nat line 1\nat line 2"), "RuntimeError: CUDA error at line 1 at line 2"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_failed_job_keeps_one_line_and_the_worker_goes_on(queue, caplog, error, line):
    with caplog.at_level(logging.ERROR):
        job = queue.submit(Job("fails", fail_with(error)))
        assert job.wait(WAIT_S)
        assert queue.submit(Job("next", lambda job: None)).wait(WAIT_S)
    assert (job.state, job.error, job.result) == (State.FAILED, line, None)
    assert bool(caplog.records) != isinstance(error, ValueError)  # a user's mistake is no news for the log


def test_a_long_error_is_cut():
    job = Job("fails", fail_with(OSError("x" * 1000)))
    logging.disable(logging.CRITICAL)
    job.run()
    logging.disable(logging.NOTSET)
    assert len(job.error) < 220


def test_the_same_key_does_not_run_twice_at_once(queue, gate):
    first = queue.submit(Job("count", gate, key="k"))
    again = queue.submit(Job("count", gate, key="k"))
    other = queue.submit(Job("other", lambda job: None, key="other"))
    assert again is first
    assert other is not first
    gate.open.set()
    assert first.wait(WAIT_S)
    assert gate.runs == 1
    anew = queue.submit(Job("count", gate, key="k"))
    assert anew is not first
    assert anew.wait(WAIT_S)
    assert queue.find("k") is anew
    assert queue.find("nobody") is None


def test_jobs_without_a_key_all_run(queue):
    jobs = [queue.submit(Job("nothing", lambda job: None)) for _ in range(5)]
    assert all(job.wait(WAIT_S) for job in jobs)
    assert len({job.number for job in jobs}) == 5


def test_what_is_being_cancelled_may_be_started_anew(queue, gate):
    first = queue.submit(Job("count", gate, key="k"))
    assert gate.reached.wait(WAIT_S)
    first.cancel()
    anew = queue.submit(Job("count", lambda job: "anew", key="k"))
    assert anew is not first
    gate.open.set()
    assert anew.wait(WAIT_S)
    assert (first.state, anew.result) == (State.CANCELLED, "anew")


def test_keys_stay_unique_when_many_submit_at_once(queue, gate):
    jobs = []
    threads = [
        threading.Thread(target=lambda: jobs.append(queue.submit(Job("count", gate, key="k")))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(job) for job in jobs}) == 1


def test_lanes_do_not_wait_for_each_other(queue, gate):
    slow = queue.submit(Job("scoring", gate), lane="background")
    assert gate.reached.wait(WAIT_S)
    quick = queue.submit(Job("map", lambda job: "map"), lane="interactive")
    assert quick.wait(WAIT_S)
    assert slow.active


def test_a_lane_of_two_works_on_two_jobs():
    queue = JobQueue(pair=2).of("me")
    meeting = threading.Barrier(2)
    jobs = [queue.submit(Job("meet", lambda job: meeting.wait(WAIT_S)), lane="pair") for _ in range(2)]
    assert all(job.wait(WAIT_S) and job.state is State.DONE for job in jobs)


def test_a_lane_that_is_not_there_takes_no_job(queue):
    with pytest.raises(KeyError):
        queue.submit(Job("lost", lambda job: None, key="k"), lane="nowhere")
    assert queue.find("k") is None


def test_old_jobs_are_forgotten_and_active_ones_never(queue, gate):
    slow = queue.submit(Job("slow", gate), lane="interactive")
    assert gate.reached.wait(WAIT_S)
    for _ in range(N_REMEMBERED + 20):
        assert queue.submit(Job("nothing", lambda job: None)).wait(WAIT_S)
    assert slow in queue.jobs
    assert len(queue.jobs) <= N_REMEMBERED + 2


def test_nobody_sees_finds_or_shares_the_jobs_of_another_owner(gate):
    queue = JobQueue(background=2)
    mine, yours = queue.of("me"), queue.of("you")
    job = mine.submit(Job("count", gate, key="k", parts=frozenset("a")))
    assert (yours.jobs, yours.find("k"), yours.last_at(frozenset("a"))) == ([], None, None)
    other = yours.submit(Job("the same", lambda job: "mine", key="k"))
    assert other is not job
    assert other.wait(WAIT_S)
    assert job.active
    assert mine.jobs == [job]


def test_one_owner_leaves_workers_for_others():
    queue, gates = JobQueue(most_running=2, pool=3), [Gate() for _ in range(4)]
    for gate in gates:
        queue.of("me").submit(Job("long", gate), "pool")
    assert queue.of("you").submit(Job("short", lambda job: "done"), "pool").wait(WAIT_S)
    assert sum(job.state is State.RUNNING for job in queue.jobs) == 2
    for gate in gates:
        gate.open.set()
    assert all(job.wait(WAIT_S) for job in queue.jobs)


def test_more_jobs_than_allowed_do_not_wait(gate):
    queue = JobQueue(most_waiting=2, one=1)
    for _ in range(3):
        queue.of("me").submit(Job("long", gate), "one")
    with pytest.raises(InputError, match="at most 2 jobs that wait"):
        queue.of("me").submit(Job("too many", gate), "one")
    assert len(queue.jobs) == 3
    queue.of("you").submit(Job("first of another", gate), "one")
    gate.open.set()


def in_pieces(log, who, n_pieces):
    """Work of pieces of more than a turn each, which can be cancelled between them."""

    def work(job):
        for piece in range(n_pieces):
            job.report(piece, n_pieces)
            job.turn()
            log.append(who)
            time.sleep(0.02)

    return work


def test_owners_take_turns_while_their_jobs_run(monkeypatch):
    monkeypatch.setattr(queue_module, "TURN_S", 0.01)
    queue, log = JobQueue(one=1), []
    long = queue.of("me").submit(Job("long", in_pieces(log, "me", 40)), "one")
    short = [queue.of(who).submit(Job("short", in_pieces(log, who, 3)), "one") for who in ("you", "they")]
    assert all(job.wait(WAIT_S) for job in short)
    assert long.active
    assert log.count("me") <= 6
    assert long.wait(WAIT_S)
    assert (long.state, log.count("me")) == (State.DONE, 40)


def test_jobs_of_one_owner_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(queue_module, "TURN_S", 0.0)
    queue, log = JobQueue(one=1).of("me"), []
    jobs = [queue.submit(Job(who, in_pieces(log, who, 3)), "one") for who in "ab"]
    assert all(job.wait(WAIT_S) for job in jobs)
    assert log == ["a"] * 3 + ["b"] * 3


def test_who_waits_for_a_turn_can_be_cancelled_and_gives_no_slot_back_twice(monkeypatch, gate):
    monkeypatch.setattr(queue_module, "TURN_S", 0.0)
    queue, log = JobQueue(one=1), []
    parked = queue.of("me").submit(Job("long", in_pieces(log, "me", 1000)), "one")
    queue.of("you").submit(Job("blocks", gate), "one")
    assert gate.reached.wait(WAIT_S)
    parked.stop()
    assert parked.wait(WAIT_S)
    assert parked.state is State.CANCELLED
    never = queue.of("they").submit(Job("next", lambda job: "ran"), "one")
    assert not never.wait(0.05)
    gate.open.set()
    assert never.wait(WAIT_S)


def test_an_ended_job_lets_its_work_go(queue, gate):
    queue.submit(Job("first", gate))
    assert gate.reached.wait(WAIT_S)
    waiting = queue.submit(Job("second", lambda job: None))
    waiting.cancel()
    gate.open.set()
    failed = queue.submit(Job("third", fail_with(ValueError("no"))))
    assert failed.wait(WAIT_S)
    assert [job.work for job in queue.jobs] == [None] * 3


def test_no_line_tells_where_files_of_the_server_lie(data_folder):
    """A job's line is read by a visitor."""
    place = data_folder / "workspaces" / "other" / "a.pt"
    lines = {
        OSError(4242, "Out of luck", str(place)): "OSError: Out of luck",
        ValueError(f"cannot read '{place}', {place}"): "cannot read 'a file of this server', a file of this server",
        RuntimeError(f"in {data_folder}"): "RuntimeError: in a file of this server",
    }
    for error, line in lines.items():
        job = Job("job", lambda _job, error=error: (_ for _ in ()).throw(error))
        job.run()
        assert job.error == line

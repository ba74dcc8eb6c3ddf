# RQ: workers in burst mode (forking and not), the scheduler, retries, dependencies, failed jobs, commands to workers.
# Workers are real ones, in processes of their own, and note in a file what they ran.
import datetime
import os
import sys
import time

from common import Notes, application, begin, folder, until

FOLDER = folder()
os.environ["SWELL_APPS_NOTES"] = str(FOLDER / "notes")

import redis  # noqa: E402
import rq  # noqa: E402
from rq.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command  # noqa: E402
from rq.group import Group  # noqa: E402
from rq.job import Job  # noqa: E402
from rq.registry import CanceledJobRegistry, DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry  # noqa: E402

import rq_tasks as tasks  # noqa: E402

# Seconds that a burst may take.
BURST_S = 60

notes = Notes(FOLDER / "notes")


class Bench:
    """A connection, its queues and workers."""

    def __init__(self, options):
        self.url = options.url()
        self.redis = redis.Redis.from_url(self.url)
        self.factor = options.factor

    def queue(self, name):
        return rq.Queue(name, connection=self.redis)

    def worker(self, *args):
        script = [sys.executable, "-m", "rq.cli", "worker", "--url", self.url, "--path", ".", *args]
        return begin(script, FOLDER / "workers.log")

    def burst(self, *queues):
        """All that is queued runs, each job in a fork of this process."""
        worker = rq.Worker([self.queue(name) for name in queues], connection=self.redis)
        assert worker.work(burst=True, logging_level="CRITICAL")


def main(options):
    bench = Bench(options)
    numbers = {}
    try:
        for part in (many, forked, failures, retries, dependencies, scheduled, callbacks, unique, canceled, commands, looks):
            numbers.update(part(bench))
    except BaseException:
        print((FOLDER / "workers.log").read_text()[-3000:], file=sys.stderr)
        raise
    return numbers


def once(name, ids):
    ran = notes.count(f"rq_tasks.{name} ")
    assert all(ran[f"rq_tasks.{name} {id}"] == 1 for id in ids), name


def many(bench):
    """Two workers without forks share a queue."""
    count = 500 * bench.factor
    queue = bench.queue("many")
    prepared = [rq.Queue.prepare_data(tasks.square, args=(n,), result_ttl=500) for n in range(count)]
    jobs = queue.enqueue_many(prepared)
    assert len(queue) == count
    simple = ("--burst", "--worker-class", "rq.SimpleWorker", "many")
    for child in [bench.worker(*simple), bench.worker(*simple)]:
        assert child.wait(BURST_S) == 0
    assert [job.return_value() for job in jobs] == [n * n for n in range(count)]
    once("square", [job.id for job in jobs])
    assert len(queue) == 0 and queue.finished_job_registry.count == count
    assert all(300 < bench.redis.ttl(f"rq:job:{job.id}") <= 500 for job in jobs)
    return {"jobs": count}


def forked(bench):
    count = 40 * bench.factor
    queues = [bench.queue(name) for name in ("high", "low")]
    jobs = [queues[n % 2].enqueue(tasks.square, n) for n in range(count)]
    bench.burst("high", "low")
    assert [job.return_value() for job in jobs] == [n * n for n in range(count)]
    order = [line.split()[1] for line in notes.lines()]
    places = {job.id: order.index(job.id) for job in jobs}
    assert sorted(jobs, key=lambda job: places[job.id]) == jobs[0::2] + jobs[1::2]
    return {"in forks": count}


def failures(bench):
    queue = bench.queue("failures")
    jobs = [queue.enqueue(tasks.wrong, failure_ttl=600) for _ in range(10)]
    bench.burst("failures")
    registry = queue.failed_job_registry
    assert set(registry.get_job_ids()) == {job.id for job in jobs}
    assert all(job.get_status(refresh=True) == "failed" and "ValueError: wrong" in job.latest_result().exc_string for job in jobs)
    registry.requeue(jobs[0])
    assert len(queue) == 1 and registry.count == 9
    bench.burst("failures")
    assert registry.count == 10 and [result.type.name for result in jobs[0].results()] == ["FAILED", "FAILED"]
    registry.remove(jobs[1], delete_job=True)
    assert not Job.exists(jobs[1].id, connection=bench.redis) and registry.count == 9
    return {"failed": 11}


def retries(bench):
    queue = bench.queue("retries")
    jobs = [queue.enqueue(tasks.flaky, 3, retry=rq.Retry(max=3)) for _ in range(10)]
    late = queue.enqueue(tasks.flaky, 2, retry=rq.Retry(max=2, interval=1))
    bench.burst("retries")
    assert all(job.get_status(refresh=True) == "finished" and job.return_value() == "at last" for job in jobs)
    assert late.get_status(refresh=True) == "scheduled"
    assert late.id in ScheduledJobRegistry("retries", connection=bench.redis)
    worker = bench.worker("--with-scheduler", "retries")
    until("a retry later", lambda: late.get_status(refresh=True) == "finished")
    worker.end()
    return {"retried": 11}


def dependencies(bench):
    queue = bench.queue("dependencies")
    parents = [queue.enqueue(tasks.square, n) for n in range(5)]
    child = queue.enqueue(tasks.gather, depends_on=parents)
    grandchild = queue.enqueue(tasks.gather, depends_on=child)
    assert DeferredJobRegistry("dependencies", connection=bench.redis).count == 2
    bench.burst("dependencies")
    assert child.return_value(refresh=True) == 30 and grandchild.return_value(refresh=True) == 30
    group = Group.create(connection=bench.redis)
    members = group.enqueue_many(queue, [rq.Queue.prepare_data(tasks.square, args=(n,)) for n in range(5)])
    assert len(group.get_jobs()) == 5
    bench.burst("dependencies")
    assert [job.return_value(refresh=True) for job in members] == [0, 1, 4, 9, 16]
    return {"with dependencies": 12}


def scheduled(bench):
    queue = bench.queue("scheduled")
    soon = [queue.enqueue_in(datetime.timedelta(seconds=1), tasks.square, n) for n in range(5)]
    far = queue.enqueue_at(datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc), tasks.square, 0)
    repeated = queue.enqueue(tasks.square, 7, repeat=rq.Repeat(times=2, interval=1))
    registry = ScheduledJobRegistry("scheduled", connection=bench.redis)
    assert registry.count == 6 and len(queue) == 1
    worker = bench.worker("--with-scheduler", "scheduled")
    until("jobs in their time", lambda: all(job.get_status(refresh=True) == "finished" for job in soon))
    until("repeated ones", lambda: notes.count(f"rq_tasks.square {repeated.id}").total() == 3)
    assert registry.get_job_ids() == [far.id]
    worker.end()
    once("square", [job.id for job in soon])
    return {"scheduled": 8}


def callbacks(bench):
    queue = bench.queue("callbacks")
    good = queue.enqueue(tasks.square, 3, on_success=rq.Callback(tasks.succeeded), on_failure=rq.Callback(tasks.failed))
    bad = queue.enqueue(tasks.wrong, on_success=rq.Callback(tasks.succeeded), on_failure=rq.Callback(tasks.failed))
    bench.burst("callbacks")
    assert notes.count("succeeded ") == {f"succeeded {good.id}": 1} and notes.count("failed ") == {f"failed {bad.id}": 1}
    return {"with callbacks": 2}


def unique(bench):
    """These are scripts: a job with that name is there once."""
    queue = bench.queue("unique")
    queue.enqueue(tasks.square, 1, job_id="one", unique=True)
    for _ in range(2):
        try:
            queue.enqueue(tasks.square, 1, job_id="one", unique=True)
            raise AssertionError("a job was there twice")
        except rq.exceptions.DuplicateJobError:
            pass
    assert queue.job_ids == ["one"]
    bench.burst("unique")
    return {"unique": 1}


def canceled(bench):
    queue = bench.queue("canceled")
    jobs = [queue.enqueue(tasks.square, n) for n in range(4)]
    jobs[0].cancel()
    jobs[1].delete()
    front = queue.enqueue(tasks.square, 9, at_front=True)
    assert queue.job_ids == [front.id, jobs[2].id, jobs[3].id]
    assert jobs[0].id in CanceledJobRegistry("canceled", connection=bench.redis)
    assert queue.empty() == 3 and queue.is_empty()
    queue.delete()
    assert "canceled" not in [queue.name for queue in rq.Queue.all(connection=bench.redis)]
    return {"canceled": 5}


def commands(bench):
    """Workers listen for commands while they work."""
    queue = bench.queue("commands")
    worker = bench.worker("--name", "listener", "commands")
    first, second = queue.enqueue(tasks.slow, 300), queue.enqueue(tasks.slow, 300)
    until("the first to run", lambda: notes.count(f"rq_tasks.slow {first.id}"))
    assert StartedJobRegistry("commands", connection=bench.redis).count == 1
    send_stop_job_command(bench.redis, first.id)
    until("it to be stopped", lambda: first.get_status(refresh=True) == "stopped")
    until("the second to run", lambda: notes.count(f"rq_tasks.slow {second.id}"))
    send_kill_horse_command(bench.redis, "listener")
    until("it to have failed", lambda: second.get_status(refresh=True) == "failed")
    assert [found.name for found in rq.Worker.all(connection=bench.redis)] == ["listener"]
    send_shutdown_command(bench.redis, "listener")
    assert worker.wait(20) == 0
    assert rq.Worker.all(connection=bench.redis) == []
    return {"commands": 3}


def looks(bench):
    """What dashboards ask."""
    names = {queue.name for queue in rq.Queue.all(connection=bench.redis)}
    assert {"many", "high", "low", "failures"} <= names
    finished = bench.queue("many").finished_job_registry
    page = finished.get_job_ids(0, 9)
    fetched = Job.fetch_many(page, connection=bench.redis)
    assert len(fetched) == 10 and all(job.is_finished for job in fetched)
    assert bench.redis.zcard("rq:finished:many") == finished.count
    started = time.monotonic()
    finished.cleanup(timestamp=2**40)
    assert finished.count == 0 and time.monotonic() - started < 10
    return {"looked at": len(fetched)}


application("rq", main)

# Celery with broker and results in the cache: tasks, groups, chains, chords, retries, revoking, remote control, events.
# Workers are real ones, in processes of their own, and note in a file what they ran.
import os
import sys
import threading
import time

from common import Notes, Options, application, begin, folder, until

FOLDER = folder()
os.environ["SWELL_APPS_URL"] = f"redis://{Options().addresses[0]}"
os.environ["SWELL_APPS_NOTES"] = str(FOLDER / "notes")

import celery  # noqa: E402
import redis  # noqa: E402
from celery import chain, chord, group  # noqa: E402
from celery.exceptions import TaskRevokedError  # noqa: E402

import celery_tasks as tasks  # noqa: E402

# Seconds that a result may take.
RESULT_S = 60

notes = Notes(FOLDER / "notes")


def main(options):
    worker = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--loglevel", "INFO", "--concurrency", "2"]
    workers = [begin([*worker, "--hostname", f"{name}@here"], FOLDER / f"{name}.log") for name in ("one", "two")]
    try:
        control = tasks.app.control
        until("two workers", lambda: len(control.ping(timeout=0.5)) == 2)
        numbers = {}
        for part in (events, many, groups, chords, chains, retries, failures, revoked, later, priorities, remote):
            numbers.update(part(options))
        control.shutdown()
        for child in workers:
            assert child.wait(20) == 0
        assert tasks.app.control.ping(timeout=0.2) == []
        return numbers
    except BaseException:
        for log in FOLDER.glob("*.log"):
            sys.stderr.write(f"--- {log.name}\n{log.read_text()[-3000:]}\n")
        raise


def once(name, ids):
    """Each of these tasks ran exactly once."""
    ran = notes.count(f"{name} ")
    assert all(ran[f"{name} {id}"] == 1 for id in ids), name


def events(options):
    """Workers tell about themselves and their tasks to whoever listens."""
    seen, ready = [], threading.Event()

    def listen():
        with tasks.app.connection() as connection:
            receiver = tasks.app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event)})
            for _ in receiver.consume(limit=None, timeout=20, wakeup=True):
                if ready.is_set():
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    until("a heartbeat", lambda: any(event["type"] == "worker-heartbeat" for event in seen))
    result = tasks.add.delay(1, 1)
    assert result.get(timeout=RESULT_S) == 2
    wanted = {"task-sent", "task-received", "task-started", "task-succeeded"}
    until("events of a task", lambda: wanted <= {event["type"] for event in seen if event.get("uuid") == result.id})
    ready.set()
    return {"events": len(wanted)}


def many(options):
    count = 1000 * options.factor
    results = [tasks.add.delay(n, 1) for n in range(count)]
    assert [result.get(timeout=RESULT_S) for result in results] == [n + 1 for n in range(count)]
    once("add", [result.id for result in results])
    kept = redis.Redis.from_url(options.url(1))
    assert all(kept.exists(f"celery-task-meta-{result.id}") and kept.ttl(f"celery-task-meta-{result.id}") > 80_000
               for result in results[:10])
    results[0].forget()
    assert not kept.exists(f"celery-task-meta-{results[0].id}")
    queue = redis.Redis.from_url(options.url(0))
    until("an empty queue", lambda: queue.llen("celery") == 0 and queue.hlen("unacked") == 0)
    return {"tasks": count}


def groups(options):
    count = 100 * options.factor
    result = group(tasks.add.s(n, n) for n in range(count)).apply_async()
    result.save()
    assert result.get(timeout=RESULT_S) == [2 * n for n in range(count)]
    again = celery.result.GroupResult.restore(result.id, app=tasks.app)
    assert again.completed_count() == count and again.successful()
    again.delete()
    assert celery.result.GroupResult.restore(result.id, app=tasks.app) is None
    return {"in a group": count}


def chords(options):
    count, size = 20 * options.factor, 10
    results = [chord(tasks.add.s(n, i) for i in range(size))(tasks.total.s()) for n in range(count)]
    assert [result.get(timeout=RESULT_S) for result in results] == [n * size + 45 for n in range(count)]
    once("total", [result.id for result in results])
    nested = chord([group(tasks.add.s(1, 1), tasks.add.s(2, 2)), tasks.add.s(3, 3)])(tasks.total.s())
    assert nested.get(timeout=RESULT_S) == 12
    bad = chord([tasks.add.s(1, 1), tasks.wrong.s()])(tasks.total.s())
    error = bad.get(timeout=RESULT_S, propagate=False)
    assert isinstance(error, celery.exceptions.ChordError) and "KeyError" in str(error)
    return {"chords": count + 2}


def chains(options):
    count = 20 * options.factor
    results = [chain(tasks.add.s(n, 1), tasks.add.s(10), tasks.add.s(100))() for n in range(count)]
    assert [result.get(timeout=RESULT_S) for result in results] == [n + 111 for n in range(count)]
    mixed = (tasks.add.s(1, 1) | group(tasks.add.s(1), tasks.add.s(2)) | tasks.total.s())()
    assert mixed.get(timeout=RESULT_S) == 7
    return {"chains": count + 1}


def retries(options):
    count = 30 * options.factor
    results = [tasks.flaky.delay(3) for _ in range(count)]
    assert [result.get(timeout=RESULT_S) for result in results] == [3] * count
    ran = notes.count("flaky ")
    assert all(ran[f"flaky {result.id}"] == 3 for result in results)
    hopeless = tasks.flaky.delay(100)
    try:
        hopeless.get(timeout=RESULT_S)
        raise AssertionError("it succeeded")
    except ValueError as error:
        assert str(error) == "run 4"
    return {"retried": count + 1}


def failures(options):
    result = tasks.wrong.delay()
    assert isinstance(result.get(timeout=RESULT_S, propagate=False), KeyError)
    assert result.failed() and "KeyError" in result.traceback and result.state == "FAILURE"
    progress = tasks.steps.delay(20)
    assert progress.get(timeout=RESULT_S) == 20
    expired = tasks.add.apply_async((1, 1), countdown=0.5, expires=0.1)
    assert isinstance(expired.get(timeout=RESULT_S, propagate=False), TaskRevokedError)
    assert notes.count(f"add {expired.id}") == {}
    return {"failed": 2}


def revoked(options):
    """One that waits for its time, and one that runs."""
    waiting = tasks.add.apply_async((1, 1), countdown=600)
    running = tasks.slow.delay(300)
    until("a slow task to begin", lambda: running.state == "STARTED")
    control = tasks.app.control
    inspect = control.inspect(timeout=1)
    until("it to be scheduled", lambda: any(
        entry["request"]["id"] == waiting.id for entries in (inspect.scheduled() or {}).values() for entry in entries))
    waiting.revoke()
    running.revoke(terminate=True)
    until("it to be known", lambda: all(waiting.id in ids for ids in inspect.revoked().values()))
    assert isinstance(running.get(timeout=RESULT_S, propagate=False), TaskRevokedError)
    assert running.state == "REVOKED"
    assert notes.count(f"add {waiting.id}") == {} and notes.count(f"slow {running.id}").total() == 1
    return {"revoked": 2}


def later(options):
    begun = time.time()
    results = [tasks.add.apply_async((n, 0), countdown=0.3) for n in range(20)]
    assert [result.get(timeout=RESULT_S) for result in results] == list(range(20))
    assert time.time() - begun >= 0.3
    return {"delayed": 20}


def priorities(options):
    """Each priority has a list of its own."""
    queue = redis.Redis.from_url(options.url(0))
    for priority in (0, 3, 6, 9):
        tasks.add.apply_async((1, 1), queue="nobody", priority=priority)
    names = ["nobody", *(f"nobody\x06\x16{priority}" for priority in (3, 6, 9))]
    assert [queue.llen(name) for name in names] == [1, 1, 1, 1]
    with tasks.app.connection() as connection:
        assert connection.default_channel.queue_purge("nobody") == 4
    return {"priorities": 4}


def remote(options):
    control = tasks.app.control
    assert all(reply["ok"] == "pool will grow" for answer in control.pool_grow(1, reply=True) for reply in answer.values())
    assert len(control.add_consumer("other", reply=True)) == 2
    result = tasks.add.apply_async((5, 5), queue="other")
    assert result.get(timeout=RESULT_S) == 10
    stats = control.inspect(timeout=2).stats()
    assert len(stats) == 2 and sum(s["total"]["add"] for s in stats.values()) >= 1000 * options.factor
    assert len(control.cancel_consumer("other", reply=True)) == 2
    return {"remote commands": 4}


application("celery", main)

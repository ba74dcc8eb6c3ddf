# The jobs of rq_app.py. What they did they also note in a file.
import os
import time

from rq import get_current_job

from common import Notes

notes = Notes(os.environ["SWELL_APPS_NOTES"])


def note():
    job = get_current_job()
    notes.note(f"{job.func_name} {job.id}")
    return job


def square(n):
    note()
    return n * n


def wrong():
    note()
    raise ValueError("wrong")


def flaky(runs):
    job = note()
    if notes.count(f"{job.func_name} {job.id}").total() < runs:
        raise ValueError("not yet")
    return "at last"


def gather():
    return sum(job.return_value() for job in note().fetch_dependencies())


def slow(seconds):
    note()
    time.sleep(seconds)


def succeeded(job, connection, result):
    notes.note(f"succeeded {job.id}")


def failed(job, connection, kind, value, trace):
    notes.note(f"failed {job.id}")

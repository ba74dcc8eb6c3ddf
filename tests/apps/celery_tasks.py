# The tasks of celery_app.py, loaded by its workers and by itself. What they did they also note in a file.
import os
import time

from celery import Celery, Task

from common import Notes

URL = os.environ["SWELL_APPS_URL"]
app = Celery("swell_apps", broker=URL + "/0", backend=URL + "/1")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"priority_steps": [0, 3, 6, 9], "visibility_timeout": 600},
    result_extended=True,
    task_track_started=True,
    worker_prefetch_multiplier=4,
    worker_send_task_events=True,
    task_send_sent_event=True,
)
notes = Notes(os.environ["SWELL_APPS_NOTES"])


class Noted(Task):
    def before_start(self, task_id, args, kwargs):
        notes.note(f"{self.name} {task_id}")


@app.task(name="add", base=Noted)
def add(a, b):
    return a + b


@app.task(name="total", base=Noted)
def total(numbers):
    return sum(numbers)


@app.task(name="flaky", base=Noted, bind=True, max_retries=3)
def flaky(self, runs):
    if self.request.retries + 1 < runs:
        raise self.retry(countdown=0.05, exc=ValueError(f"run {self.request.retries + 1}"))
    return self.request.retries + 1


@app.task(name="wrong", base=Noted)
def wrong():
    raise KeyError("wrong")


@app.task(name="slow", base=Noted)
def slow(seconds):
    time.sleep(seconds)
    return "slept"


@app.task(name="steps", base=Noted, bind=True)
def steps(self, count):
    for step in range(count):
        self.update_state(state="PROGRESS", meta={"step": step})
    return count

"""A worker in a process of its own, a hundred tasks: each is done once, and its result comes back.

The prefix with a hash tag puts the broker's keys on one node.
"""

import subprocess
import sys

from celery import Celery

JOBS = 100
URL = f"redis://127.0.0.1:{sys.argv[1]}/0"

app = Celery("jobs", broker=URL, backend=URL)
app.conf.broker_transport_options = {"global_keyprefix": "{celery}:"}
app.conf.task_acks_late = True


@app.task(name="square")
def square(number):
    # Counts what was done, so that a task that is done twice shows.
    app.backend.client.incr("{celery}:done")
    return number * number


def main():
    if sys.argv[2:] == ["worker"]:
        app.worker_main(["worker", "--pool=threads", "--concurrency=4", "--loglevel=WARNING"])
        return
    worker = subprocess.Popen([sys.executable, __file__, sys.argv[1], "worker"])
    try:
        tasks = [square.delay(number) for number in range(JOBS)]
        results = [task.get(timeout=60) for task in tasks]
        assert results == [number * number for number in range(JOBS)], results
        done = int(app.backend.client.get("{celery}:done"))
        assert done == JOBS, f"{done} tasks were done, not {JOBS}"
    finally:
        worker.kill()
        worker.wait()


if __name__ == "__main__":
    main()

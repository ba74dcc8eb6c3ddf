# What the applications in Python share: their arguments, processes of their own, waiting, the summary line.
import collections
import faulthandler
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

# Seconds that any single thing may take before an application gives up on it.
DEADLINE_S = 30

# Seconds after which an application of the usual size has hung: it says where, and ends.
HUNG_S = 150

# Seconds between two looks at a condition.
POLL_S = 0.01

# What is done when the application ends, the last first.
LEAVING = []


class Options:
    """Arguments: ADDRESS[,ADDRESS...] [FACTOR [TAG]]; several addresses are doors to one cache."""

    def __init__(self):
        args = sys.argv[1:] + [""] * 3
        self.addresses = (args[0] or os.environ.get("SWELL_ADDRESS", "127.0.0.1:6379")).split(",")
        self.factor = int(args[1] or 1)
        self.tag = args[2]
        host, port = self.addresses[0].rsplit(":", 1)
        self.host, self.port = host, int(port)

    def url(self, database=0):
        return f"redis://{self.addresses[0]}/{database}"


def until(what, look, limit=DEADLINE_S):
    """Looks at a condition until it yields something true, which it returns."""
    end = time.monotonic() + limit
    while not (found := look()):
        assert time.monotonic() < end, f"waited {limit} s in vain for {what}"
        time.sleep(POLL_S)
    return found


def folder():
    """A folder that goes away with the process."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="swell-apps-"))
    owner = os.getpid()
    # Workers are forked from this process: only it removes the folder.
    LEAVING.append(lambda: os.getpid() == owner and shutil.rmtree(path, ignore_errors=True))
    return path


def begin(command, log, **env):
    """A worker in a process of its own, which ends with this one; what it says goes to a file."""
    with open(log, "ab") as file:
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            cwd=pathlib.Path(__file__).parent, env={**os.environ, **{name: str(value) for name, value in env.items()}},
        )

    def end():
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    child.end = end
    LEAVING.append(end)
    return child


class Notes:
    """Lines that workers leave in a file: what has happened, whatever the server under test says about it."""

    def __init__(self, path):
        self.path = str(path)

    def note(self, line):
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def lines(self):
        return open(self.path).read().splitlines() if os.path.exists(self.path) else []

    def count(self, begin):
        """How often each line that begins so is there."""
        return collections.Counter(line for line in self.lines() if line.startswith(begin))


def application(name, body):
    """Runs an application: its numbers become the summary line, anything raised ends the process with 1."""
    begun, status, options = time.monotonic(), 1, Options()
    faulthandler.dump_traceback_later(HUNG_S * options.factor, exit=True)
    try:
        numbers = body(options)
        text = ", ".join(f"{count} {what}" for what, count in numbers.items())
        print(f"ok {name}: {text}, {time.monotonic() - begun:.1f} s")
        status = 0
    except BaseException:
        traceback.print_exc()
    while LEAVING:
        LEAVING.pop()()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the clients' own destructors, some of which ask the server for more.
    os._exit(status)

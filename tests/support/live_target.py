"""A target of the live tests: started, asked for its truth, looked at, and never left behind."""

import os
import select
import signal
import subprocess
import time

WATCHER = "truth-watcher"
DEADLINE_S = 30


class TargetError(Exception):
    pass


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def thread_states(pid):
    """-> {tid: (name, state letter, context switches)}"""
    states = {}
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return states
    for tid in tids:
        status = dict(line.split(":\t", 1) for line in _read(f"/proc/{pid}/task/{tid}/status").splitlines()
                      if ":\t" in line)
        if status:
            states[int(tid)] = (status["Name"], status["State"][0],
                                status.get("voluntary_ctxt_switches"), status.get("nonvoluntary_ctxt_switches"))
    return states


class LiveTarget:
    """`with LiveTarget([...]) as target`: its lines of truth are there, all its threads block."""

    def __init__(self, command, environment=None, wrapper=(), comes_to_rest=True):
        self.command = list(wrapper) + list(command)
        self._is_wrapped = bool(wrapper)
        self._comes_to_rest = comes_to_rest
        self._environment = dict(os.environ, **(environment or {}))
        self.truth_lines = []
        self.pid = None

    def __enter__(self):
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         env=self._environment)
        try:
            self._read_truth()
            self.pid = self._innermost_child()
            if self._comes_to_rest:
                self._wait_until_blocked()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *_):
        self._kill()

    def _kill(self):
        if self.pid is not None and self._is_wrapped:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self._process.poll() is None:
            self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _read_truth(self):
        received, deadline = b"", time.monotonic() + DEADLINE_S
        output = self._process.stdout.fileno()
        while not received.endswith(b"READY\n"):
            if not select.select([output], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TargetError(f"not READY after {DEADLINE_S} s; it said:\n{received.decode(errors='replace')}")
            piece = os.read(output, 1 << 16)
            if not piece:
                raise TargetError(f"ended with status {self._process.wait()} before READY")
            received += piece
        self.truth_lines = received.decode("utf-8").splitlines()[:-1]

    def _innermost_child(self):
        pid = self._process.pid
        while True:
            children = _read(f"/proc/{pid}/task/{pid}/children").split()
            if not children:
                return pid
            pid = int(children[0])

    def _wait_until_blocked(self):
        """READY is said just before blocking: waits until every thread sleeps, twice in a row without having run."""
        deadline, before = time.monotonic() + DEADLINE_S, None
        while True:
            now = thread_states(self.pid)
            if now and now == before and all(state[1] in "SD" for state in now.values()):
                return
            before = now
            if time.monotonic() > deadline:
                raise TargetError(f"its threads do not come to rest: {now}")
            os.sched_yield()

    def threads_left_stopped(self):
        wrong = []
        for tid, (name, state, *_) in thread_states(self.pid).items():
            tracer = [line for line in _read(f"/proc/{self.pid}/task/{tid}/status").splitlines()
                      if line.startswith("TracerPid") and not line.endswith("\t0")]
            if state in "tT" or tracer:
                wrong.append(f"thread {tid} ({name}) was left in state {state} {' '.join(tracer)}")
        return wrong

    def end_by_itself(self):
        """Closes its input; a target that was left unharmed exits at once with 0. -> what is wrong, or None"""
        self._process.stdin.close()
        try:
            status = self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            return "the target does not end when its input does: it was harmed"
        return None if status == 0 else f"the target ended with status {status} instead of 0"

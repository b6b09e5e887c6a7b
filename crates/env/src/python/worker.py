"""One worker of the tool pool: reads requests, answers each with one line.

    {"id": 1, "call": {"name": N, "source": S, "arguments": {..}}}  ->  {"id": 1, "text": T}
                                                              or  {"id": 1, "error": T}
    {"id": 2, "compile": [S, ..]}                             ->  {"id": 2, "errors": [T or null, ..]}

A call runs in a child forked from this warm interpreter, so that whatever a tool does to its
modules, its standard streams or its process is gone with it. Time is the parent's affair.
"""

import calendar
import datetime
import json
import os
import random
import resource
import signal
import sys
import time
from copy import deepcopy
from hashlib import sha256
from time import sleep

LONGEST_RESULT = 1 << 20
REPLIED = 77


def main(memory_mib, alarm_seconds, today):
    requests_in, replies_out = take_over_streams()
    stop_clocks(today)
    limit(resource.RLIMIT_AS, memory_mib << 20)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)  # a tool keeps nothing on disk
    warm_up()
    reply(replies_out, {"id": 0, "text": "ready"})
    for line in requests_in:
        request = json.loads(line)
        if "compile" in request:
            errors = [compile_error(source) for source in request["compile"]]
            reply(replies_out, {"id": request["id"], "errors": errors})
        else:
            fork_and_call(replies_out, request, alarm_seconds)


def take_over_streams():
    """Moves the pipes where a tool's `print` and `input` do not find them."""
    requests_in = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies_out = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    return requests_in, replies_out


def limit(what, value):
    try:
        resource.setrlimit(what, (value, value))
    except (ValueError, OSError):
        pass  # not every system has every limit


def stop_clocks(today):
    """For every tool it is the midnight, UTC, that begins this day; only durations can be told."""
    midnight = datetime.datetime.strptime(today, "%Y-%m-%d")
    seconds = calendar.timegm(midnight.timetuple())

    class AsTheReal(type):
        def __instancecheck__(cls, value):
            return isinstance(value, cls.__mro__[1])

        def __subclasscheck__(cls, other):
            return issubclass(other, cls.__mro__[1])

    class Date(datetime.date, metaclass=AsTheReal):
        @classmethod
        def today(cls):
            return cls.fromordinal(midnight.toordinal())

    class DateTime(datetime.datetime, metaclass=AsTheReal):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(seconds, tz) if tz else cls.utcnow()

        @classmethod
        def utcnow(cls):
            return cls.combine(midnight, datetime.time())

        @classmethod
        def today(cls):
            return cls.utcnow()

    datetime.date, datetime.datetime = Date, DateTime
    gmtime, asctime, strftime = time.gmtime, time.asctime, time.strftime
    time.time, time.time_ns = lambda: float(seconds), lambda: seconds * 10**9
    time.gmtime = time.localtime = lambda secs=None: gmtime(seconds if secs is None else secs)
    time.asctime = lambda t=None: asctime(t or time.gmtime())
    time.ctime = lambda secs=None: asctime(time.gmtime(secs))
    time.strftime = lambda format, t=None: strftime(format, t or time.gmtime())


def warm_up():
    """Loads what tools import most, so that no call pays for it."""
    for module in ("calendar", "collections", "datetime", "_strptime", "decimal", "fractions",
                   "itertools", "math", "re", "string", "dateutil.parser", "requests"):
        try:
            __import__(module)
        except ImportError:
            pass


def fork_and_call(replies_out, request, alarm_seconds):
    child = os.fork()
    if child == 0:
        tool_process = os.getpid()
        status = 1
        try:
            signal.alarm(alarm_seconds)  # should the parent be gone
            limit(resource.RLIMIT_CPU, alarm_seconds)  # a process that the tool leaves behind
            random.seed(0)  # the same call has the same result
            answer = call(**request["call"])
            if os.getpid() == tool_process:  # and not a fork of the tool's own
                reply(replies_out, {"id": request["id"], **answer})
                status = REPLIED
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    if not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == REPLIED):
        if os.WIFSIGNALED(status):
            how = f"killed by signal {os.WTERMSIG(status)}"
        else:
            how = f"exit status {os.WEXITSTATUS(status)}"
        reply(replies_out, {"id": request["id"], "error": f"the tool ended its process ({how})"})


def call(name, source, arguments):
    """The function sees the host's names, not those at the top level of its own source."""
    host = {"__name__": "tools", "json": json, "deepcopy": deepcopy, "sleep": sleep, "sha256": sha256}
    if "requests" in sys.modules:
        host["requests"] = sys.modules["requests"]
    bound = {}
    try:
        exec(source, host, bound)
        result = bound[name](**arguments)
        if isinstance(result, (dict, list)):
            text = json.dumps(result, ensure_ascii=False)
        else:
            text = str(result)
        if len(text) > LONGEST_RESULT:
            raise ValueError(f"the result has {len(text)} characters, more than {LONGEST_RESULT}")
        return {"text": text}
    except MemoryError:
        return {"error": "out of memory"}
    except SystemExit as error:
        return {"error": f"the tool tried to exit ({error})"}
    except BaseException as error:
        return {"error": message_of(error)}


def message_of(error):
    try:
        return str(error)[:LONGEST_RESULT]
    except BaseException:
        return type(error).__name__


def compile_error(source):
    try:
        compile(source, "<string>", "exec")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def reply(replies_out, message):
    line = json.dumps(message, ensure_ascii=False) + "\n"
    unsent = line.encode("utf-8", "replace")
    while unsent:
        unsent = unsent[os.write(replies_out, unsent):]


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

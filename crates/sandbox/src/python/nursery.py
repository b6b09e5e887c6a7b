# A warm interpreter that runs no stranger's code itself: it forks a child for each call or episode,
# and says how each ended. Its other end is `nursery.rs`; requests are lines of JSON, each with the
# child's socket and its Landlock rules as descriptors where it asks for a fork.
#
#     {"fork": FOLDER, "replace": P}          -> {"pid": P} or {"error": T}; where it replaces a
#                                                child, that is ended before
#     {"end": P, "patient": B}                -> {"how": T}, killed where it has not ended
#     {"share": {"name": N, "value": V}}      -> {}


def main():
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20))  # whoever's
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    sys.path[:] = [path for path in sys.path if path]  # not whatever folder we are in
    settings = receive(control, Buffer())[0]
    sys.path.extend(settings["import_from"])
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads of a warm module
    stop_clocks(settings["date"])
    warm_up()
    nursery = Nursery(settings)
    send(control.fileno(), json.dumps({"problems": nursery.problems}))
    gc.collect()
    gc.freeze()  # so that a child's collector touches, and copies, nothing of ours
    nursery.answer(control)


class Buffer:
    def __init__(self):
        self.unread = b""


def receive(control, buffer):
    """One request and its descriptors; `None` once the caller is gone."""
    descriptors = []
    pieces = []
    while b"\n" not in buffer.unread:
        pieces.append(buffer.unread)
        buffer.unread, extra, _, _ = control.recvmsg(1 << 20, socket.CMSG_SPACE(8))
        if not buffer.unread:
            return None, descriptors
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.extend(memoryview(content).cast("i"))
    line, _, buffer.unread = buffer.unread.partition(b"\n")
    return json.loads(b"".join(pieces) + line), descriptors


class Nursery:
    def __init__(self, settings):
        self.settings = settings
        self.system = System()
        self.problems = {}
        restrict_nursery(self.system, settings, self.problems)
        self.active = {"seccomp": "seccomp" not in self.problems}
        self.filter = self.system.filter(settings["child_filter"])
        self.states = {}
        self.folders = {}  # of every child that has not ended
        self.pid = os.getpid()

    def answer(self, control):
        buffer = Buffer()
        while True:
            try:
                request, descriptors = receive(control, buffer)
            except OSError:
                request = None
            if request is None:
                return self.close()
            if "fork" in request:
                if "replace" in request:
                    self.end(request["replace"], False)
                answer = self.fork(control, request["fork"], *descriptors)
            elif "end" in request:
                answer = {"how": self.end(request["end"], request["patient"])}
            else:
                self.states[request["share"]["name"]] = request["share"]["value"]
                answer = {}
            send(control.fileno(), json.dumps(answer))

    def fork(self, control, folder, channel, ruleset=None):
        try:
            child = os.fork()
        except OSError as error:
            child = None
            problem = error.strerror
        if child == 0:
            self.be_a_child(control, folder, channel, ruleset)
        for descriptor in (channel, ruleset):
            if descriptor is not None:
                os.close(descriptor)
        if child is None:
            return {"error": problem}
        self.folders[child] = folder
        return {"pid": child}

    def be_a_child(self, control, folder, channel, ruleset):
        try:
            control.close()
            os.chdir(folder)
            restrict_child(self.system, self.settings, self.active, self.pid, ruleset, self.filter)
            random.seed(0)  # the same call has the same result
            self.settings["child"] = os.getpid()
            serve(channel, Tools(self.states), self.system, self.settings)
        except BaseException as error:
            send(channel, json.dumps({"broken": f"{type(error).__name__}: {error}"}))
        finally:
            os._exit(0)

    def end(self, child, patient):
        """How a child ended; a patient caller believes that it has, or is about to."""
        status = None
        for _ in range(200 if patient else 0):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            status = None
            sleep(0.001)
        if status is None:
            kill(os.kill, child)
            status = os.waitpid(child, 0)[1]
            how = "it closed its connection" if patient else "killed"
        elif os.WIFSIGNALED(status):
            how = f"killed by signal {os.WTERMSIG(status)}"
        else:
            how = f"exit status {os.WEXITSTATUS(status)}"
        del self.folders[child]
        if not self.active["seccomp"]:
            kill(os.killpg, child)
            self.end_strays()
        return how

    def end_strays(self):
        """Where tools can fork: what they left behind has become ours (a subreaper's)."""
        for _ in range(1000):
            strays = [child for child in children_of(self.pid) if child not in self.folders]
            if not strays:
                return
            for stray in strays:
                kill(os.kill, stray)
                try:
                    os.waitpid(stray, 0)
                except ChildProcessError:
                    pass

    def close(self):
        """The caller is gone: so is everything that it began."""
        folders = dict(self.folders)
        for child in folders:
            self.end(child, False)
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def kill(how, target):
    try:
        how(target, signal.SIGKILL)
    except OSError:
        pass  # it has ended already


def children_of(parent):
    children = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    after_the_name = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_the_name[1]) == parent:
                children.append(int(name))
    return children


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
                   "itertools", "math", "re", "string", "dateutil.parser"):
        try:
            __import__(module)
        except ImportError:
            pass
    offer("requests")


def offer(name):
    """A module that loads when somebody first looks into it. To fork a process that holds
    `requests`, which FTRL's tools may name and never use, takes half as long again."""
    spec = importlib.util.find_spec(name)
    if spec is not None:
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

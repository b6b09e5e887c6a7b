# What this process takes away from itself and from its children: by system calls where Python has
# no words for them (ctypes), by `resource` where it has.

NO_NEW_PRIVS, GET_NO_NEW_PRIVS, SECCOMP, GET_SECCOMP, PARENT_DEATH, SUBREAPER = 38, 39, 22, 21, 1, 36
LANDLOCK_RESTRICT_SELF = 446  # of every architecture
CAPABILITIES_3 = 0x20080522
LEFT_OUT = "left out by `sandbox.without`"


class System:
    """The C library. Where ctypes is missing, `missing` says so and every call fails with it."""

    def __init__(self):
        self.missing = None
        try:
            global ctypes
            import ctypes

            self.libc = ctypes.CDLL(None, use_errno=True)
        except (ImportError, OSError) as error:
            self.missing = f"the interpreter has no ctypes ({error})"

    def call(self, function, *arguments):
        if self.missing:
            raise OSError(0, self.missing)
        whole = [a if isinstance(a, ctypes._Pointer) else ctypes.c_ulong(a) for a in arguments]
        outcome = getattr(self.libc, function)(*whole)
        if outcome < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return outcome

    def prctl(self, option, *arguments):
        return self.call("prctl", option, *(arguments + (0,) * (4 - len(arguments))))

    def filter(self, program):
        """A filter that `prctl` takes, of an assembled BPF program in hexadecimal digits."""
        if self.missing or program is None:
            return None
        program = bytes.fromhex(program)

        class Program(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

        return ctypes.pointer(Program(len(program) // 8, program))

    def capabilities(self, function):
        """`capset` to nothing; of `capget`, whether there is any."""
        header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
        sets = (ctypes.c_uint32 * 6)()
        self.call(function, ctypes.pointer(header), ctypes.pointer(sets))
        return any((sets[0], sets[1], sets[3], sets[4]))  # effective and permitted


def limit(what, value):
    """Lowers a limit for good. One that is lower already stays."""
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))


def attempt(layer, problems, action, *arguments):
    """Takes a layer on, or notes why it could not be."""
    if layer in problems:
        return
    try:
        action(*arguments)
    except (OSError, ValueError, AttributeError) as error:
        problems[layer] = getattr(error, "strerror", None) or str(error)


def restrict_nursery(system, settings, problems):
    """What holds for the nursery and everything that it forks."""
    problems.update((layer, LEFT_OUT) for layer in settings["without"])
    attempt("limits", problems, limit_resources, settings)
    attempt("no-new-privs", problems, system.prctl, NO_NEW_PRIVS, 1)
    if system.missing is None:
        attempt("capabilities", problems, system.capabilities, "capset")
        attempt("subreaper", problems, system.prctl, SUBREAPER, 1)
    else:
        problems.setdefault("capabilities", system.missing)
    if settings["child_filter"] is None:
        problems.setdefault("seccomp", settings["no-seccomp"])
    elif "no-new-privs" in problems:
        problems.setdefault("seccomp", "it needs no-new-privs")
    for program in settings["nursery_filters"]:
        attempt("seccomp", problems, system.prctl, SECCOMP, 2, system.filter(program))


def limit_resources(settings):
    limit(resource.RLIMIT_AS, settings["memory_mib"] << 20)
    limit(resource.RLIMIT_FSIZE, settings["scratch_mib"] << 20)
    limit(resource.RLIMIT_NOFILE, settings["open_files"])
    limit(resource.RLIMIT_CORE, 0)


def restrict_child(system, settings, active, parent, ruleset, seccomp):
    """What holds for a tool alone. A layer that the nursery could take on must hold here too."""
    os.setpgid(0, 0)
    if system.missing is None:
        system.prctl(PARENT_DEATH, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    if ruleset is not None:
        system.call("syscall", LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    if active["seccomp"]:
        system.prctl(SECCOMP, 2, seccomp)
    else:
        limit(resource.RLIMIT_NPROC, 0)  # root goes past it, others fork no more


def try_layers(system, settings):
    """From inside a child: which layers hold, each found by doing what it forbids."""
    held = {
        "limits": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        and resource.getrlimit(resource.RLIMIT_AS)[1] <= settings["memory_mib"] << 20,
        "no-new-privs": False,
        "capabilities": False,
        "landlock": is_refused(os.listdir, "/") and is_refused(open, "/etc/passwd"),
        "seccomp": is_refused(os.kill, os.getppid(), 0) and is_refused(leave_a_child),
    }
    if system.missing is None:
        held["no-new-privs"] = system.prctl(GET_NO_NEW_PRIVS) == 1
        held["capabilities"] = not system.capabilities("capget")
        held["seccomp"] = held["seccomp"] and system.prctl(GET_SECCOMP) == 2
    with open("probe", "w") as file:  # and the tool's own folder takes files
        file.write("x")
    os.remove("probe")
    return held


def is_refused(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True
    return False


def leave_a_child():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

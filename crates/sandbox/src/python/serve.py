# What a forked child does: answers requests of its one caller, a line of JSON each, about code that
# may do anything to this process.
#
#     {"once": {"name", "source", "arguments"}}   -> {"text": T}          FTRL's namespace
#     {"compile": [S, ..]}                        -> {"errors": [T or null, ..]}
#     {"load": {"source", "filename"}}            -> {"text": ""}
#     {"functions": null}                         -> {"functions": [..]}
#     {"call": {"function", "arguments", "state"}}  -> {"text": T}
#     {"evaluate": {"function", "arguments"}}     -> {"text": JSON}
#     {"put": {"name", "value"}}                  -> {"text": ""}
#     {"get": N}                                  -> {"text": JSON}
#
# or, of any, {"error": {"kind", "message", "at"}}.

LONGEST_RESULT = 1 << 20
LONGEST_STATE = 32 << 20


class Tools:
    """The modules of one session, and the states that their functions are given."""

    def __init__(self, states):
        self.states = states
        self.modules = []

    def load(self, source, filename):
        stem = os.path.splitext(os.path.basename(filename))[0]
        name = stem if stem.isidentifier() and stem not in sys.modules else f"tools_{len(self.modules)}"
        module = types.ModuleType(name)
        module.__file__ = filename
        sys.modules[name] = module
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        self.modules.append(module)
        exec(compile(source, filename, "exec"), module.__dict__)

    def functions(self):
        found = {}
        for module in self.modules:
            for name, function in public_functions(module):
                found.pop(name, None)
                found[name] = describe(name, function, module.__file__)
        return list(found.values())

    def call(self, function, arguments, state=None):
        places = [module for module in self.modules if callable(vars(module).get(function))]
        if not places:
            raise NameError(f"name '{function}' is not defined")
        before = () if state is None else (self.states[state],)
        function = vars(places[-1])[function]
        result = function(*before, **with_members(function, arguments))
        if hasattr(result, "__await__"):
            import asyncio

            result = asyncio.run(awaited(result))
        return result


async def awaited(result):
    return await result


def serve(channel, tools, system, settings):
    requests = Lines(channel)
    while True:
        line = requests.read()
        if not line:
            return
        try:
            request = json.loads(line)
            begin_call(settings)
            answer = json.dumps(respond(tools, system, settings, request), ensure_ascii=False)
        except MemoryError:
            answer = '{"error": {"kind": "MemoryError", "message": "out of memory", "at": null}}'
        except BaseException as error:
            answer = json.dumps({"error": told(error)}, ensure_ascii=False)
        signal.alarm(0)
        if os.getpid() != settings["child"]:
            os._exit(0)  # a fork of the tool's own
        send(channel, answer)


def begin_call(settings):
    """Should the caller be gone, the kernel ends what goes on."""
    signal.alarm(settings["alarm_seconds"])
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + settings["alarm_seconds"] + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def respond(tools, system, settings, request):
    if "once" in request:
        return {"text": text_of(call_once(**request["once"]))}
    if "call" in request:
        return {"text": text_of(tools.call(**request["call"]))}
    if "evaluate" in request:
        return {"text": json_of(tools.call(**request["evaluate"]))}
    if "load" in request:
        tools.load(**request["load"])
        return {"text": ""}
    if "functions" in request:
        return {"functions": tools.functions()}
    if "put" in request:
        tools.states[request["put"]["name"]] = request["put"]["value"]
        return {"text": ""}
    if "get" in request:
        return {"text": json_of(tools.states[request["get"]])}
    if "compile" in request:
        return {"errors": [compile_error(source) for source in request["compile"]]}
    return {"held": try_layers(system, settings)}


def call_once(name, source, arguments):
    """The function sees the host's names, not those at the top level of its own source."""
    host = {"__name__": "tools", "json": json, "deepcopy": deepcopy, "sleep": sleep, "sha256": sha256}
    if "requests" in sys.modules:
        host["requests"] = sys.modules["requests"]
    bound = {}
    exec(source, host, bound)
    return bound[name](**arguments)


def text_of(result):
    text = json.dumps(result, ensure_ascii=False) if isinstance(result, (dict, list)) else str(result)
    if len(text) > LONGEST_RESULT:
        raise ValueError(f"the result has {len(text)} characters, more than {LONGEST_RESULT}")
    return text


def json_of(value):
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(text) > LONGEST_STATE:
        raise ValueError(f"the value has {len(text)} characters, more than {LONGEST_STATE}")
    return text


def told(error):
    """What is said of an exception, whatever its own methods do."""
    kind = type(error).__name__
    try:
        message = str(error)[:LONGEST_RESULT]
    except BaseException:
        message = kind
    return {"kind": kind, "message": message, "at": place_of(error)}


def place_of(error):
    """The last line of the tools' own that the exception went through."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    place, frame = None, error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if code.co_filename in linecache.cache:
            place = f"{code.co_filename}, line {frame.tb_lineno}, in {code.co_name}"
        frame = frame.tb_next
    return place


def compile_error(source):
    try:
        compile(source, "<string>", "exec")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def send(channel, line):
    unsent = (line + "\n").encode("utf-8", "replace")
    while unsent:
        unsent = unsent[os.write(channel, unsent):]


class Lines:
    """Lines of a descriptor, as bytes; empty at its end."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.unread = b""

    def read(self):
        pieces = []
        while b"\n" not in self.unread:
            pieces.append(self.unread)
            self.unread = os.read(self.descriptor, 1 << 20)
            if not self.unread:
                return b""
        line, _, self.unread = self.unread.partition(b"\n")
        return b"".join(pieces) + line

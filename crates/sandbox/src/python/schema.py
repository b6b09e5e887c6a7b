# What an agent is told of a Python function: a JSON schema by its type hints, in the words of its
# docstring (Google's style, NumPy's, or reStructuredText's fields).

SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
SECTION = re.compile(
    r"(Args|Arguments|Parameters|Returns?|Yields|Raises|Examples?|Notes?|References|See Also):?$"
)
GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
NUMPY_ITEM = re.compile(r"\*{0,2}(\w+)(?:\s*:.*)?$")
FIELD = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+):\s*(.*)$")


def public_functions(module):
    """Name and function, in the order of their definition; of `__all__` where there is one."""
    names = getattr(module, "__all__", None)
    for name, value in list(vars(module).items()):
        its_own = inspect.isfunction(value) and value.__module__ == module.__name__
        if its_own and (name in names if names is not None else not name.startswith("_")):
            yield name, value


def describe(name, function, file):
    description, words = read_docstring(inspect.getdoc(function) or "")
    hints = hints_of(function)
    properties, required, open_ended = {}, [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            schema = schema_of(hints.get(parameter.name, typing.Any))
            if parameter.name in words:
                schema["description"] = words[parameter.name]
            default = parameter.default
            if isinstance(default, enum.Enum):
                default = default.value
            if default is parameter.empty:
                required.append(parameter.name)
            elif is_json(default) and default is not None:
                schema["default"] = default
            properties[parameter.name] = schema
    parameters = {"type": "object", "properties": properties, "required": required}
    if open_ended:
        parameters["additionalProperties"] = True
    return {"name": name, "description": description, "parameters": parameters, "file": file}


def hints_of(function):
    """Hints as types; as they stand where one of them cannot be resolved."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        pass
    try:
        return dict(getattr(function, "__annotations__", {}))
    except Exception:  # Python 3.14 resolves them only now
        return {}


def schema_of(hint):
    """An empty schema, which everything satisfies, for a hint that JSON has no word for."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in SIMPLE if isinstance(hint, type) else hint is None:
        return {"type": SIMPLE[hint or type(None)]}
    if hasattr(hint, "__metadata__"):  # Annotated
        notes = [note for note in hint.__metadata__ if isinstance(note, str)]
        return {**schema_of(inner[0]), **({"description": notes[0]} if notes else {})}
    if is_enum(hint):
        return schema_of(typing.Literal[tuple(member.value for member in hint)])
    if origin is typing.Literal:
        kinds = {SIMPLE.get(type(value)) for value in inner}
        return {**({"type": kinds.pop()} if len(kinds) == 1 else {}), "enum": list(inner)}
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        some = [schema_of(part) for part in inner if part is not type(None)]
        return some[0] if len(some) == 1 else {"anyOf": some}
    if typing.is_typeddict(hint) if hasattr(typing, "is_typeddict") else hasattr(hint, "__total__"):
        fields = {name: schema_of(part) for name, part in hints_of(hint).items()}
        return {"type": "object", "properties": fields, "required": sorted(hint.__required_keys__)}
    base = origin or hint
    if not isinstance(base, type):
        return {}
    if issubclass(base, typing.get_origin(typing.Mapping)):
        values = schema_of(inner[1]) if len(inner) == 2 else {}
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if issubclass(base, typing.get_origin(typing.Iterable)) and not issubclass(base, (str, bytes)):
        items = schema_of(inner[0]) if inner else {}
        return {"type": "array", **({"items": items} if items else {})}
    return {}


def is_enum(hint):
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def with_members(function, arguments):
    """The arguments of a call, with the members of enumerations in the place of their values."""
    hints = hints_of(function)
    return {name: member(hints.get(name), value) for name, value in arguments.items()}


def member(hint, value):
    """Of an enumeration, an optional one or a list of them; all else stays as it is."""
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    kind = inner[0] if len(inner) == 1 else hint
    if not is_enum(kind) or value is None:
        return value
    return [kind(part) for part in value] if isinstance(value, list) else kind(value)


def is_json(value):
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def read_docstring(text):
    """The description, and what is said of each parameter."""
    lines = text.splitlines()
    description, words, name, section, indent = [], {}, None, None, 0
    for number, line in enumerate(lines):
        bare = line.strip()
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        underlined = len(following) >= 3 and set(following) == {"-"}
        field = FIELD.match(bare)
        if field:
            section, name = "fields", field.group(1)
            words[name] = [field.group(2)]
        elif SECTION.match(bare) and (bare.endswith(":") or underlined):
            section, name = ("numpy" if underlined else "google"), None
            indent = None if bare.rstrip(":") in ("Args", "Arguments", "Parameters") else -1
        elif section is None:
            description.append(line)
        elif bare and set(bare) == {"-"} or indent == -1:
            pass  # a line under a heading; what is returned or raised
        elif section == "fields":
            if bare.startswith(":") or not bare:
                name = None
            elif name:
                words[name].append(bare)
        elif bare:
            depth = len(line) - len(line.lstrip())
            indent = depth if indent is None else indent
            item = (NUMPY_ITEM if section == "numpy" else GOOGLE_ITEM).match(bare)
            if depth <= indent and item:
                name = item.group(1)
                words[name] = [item.group(2)] if section == "google" else []
            elif name:
                words[name].append(bare)
    said = {name: " ".join(part for part in parts if part) for name, parts in words.items()}
    return "\n".join(description).strip(), {name: text for name, text in said.items() if text}

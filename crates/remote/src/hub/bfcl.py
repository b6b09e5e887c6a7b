"""Lays a `bfcl-eval` wheel out as a folder of data: python3 bfcl.py WHEEL FOLDER

Takes the questions, answers, function docs and prerequisite conversations of multi-turn, memory
and web search as they are, and writes what else is data but stands in the package's sources:

    prompt_constants.json         every prompt text
    backend_tables.json           the back ends' default states and the tables inside their methods
    long_context_constants.json   what the long-context category adds to them

Sources are read, never run: only constants, and what is made of constants, is evaluated.
A dict with a key that is no string becomes {"__dict__": [[key, value], ..]}, a set
{"__set__": [..]}, a tuple {"__tuple__": [..]}, an ellipsis {"__ellipsis__": true}.
"""

import ast
import json
import operator
import sys
import zipfile
from pathlib import Path, PurePosixPath

ROOT = "bfcl_eval/"
SOURCES = ROOT + "eval_checker/multi_turn_eval/func_source_code/"
KINDS = ("multi_turn_", "memory", "web_search", "format_sensitivity")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def main(wheel, folder):
    folder = Path(folder)
    with zipfile.ZipFile(wheel) as package:
        for name in package.namelist():
            place = place_of(name)
            if place:
                write(folder / place, package.read(name))
        source = lambda path: ast.parse(package.read(path).decode("utf-8"), path)
        write_json(folder / "prompt_constants.json", prompt_constants(source))
        write_json(folder / "backend_tables.json", backend_tables(source))
        write_json(folder / "long_context_constants.json", encoded(long_context(source)))


def place_of(name):
    """Where a file of the package stands in the folder; None where it does not."""
    within = PurePosixPath(name)
    data = PurePosixPath(ROOT, "data")
    if data not in within.parents or within.suffix != ".json":
        return None
    place = within.relative_to(data)
    folder = str(place.parent)
    if folder in ("multi_turn_func_doc", "memory_prereq_conversation"):
        return place
    kind = place.name.replace("BFCL_v4_", "", 1)
    return place if folder in (".", "possible_answer") and kind.startswith(KINDS) else None


def prompt_constants(source):
    prompts = constants(source(ROOT + "constants/default_prompts.py"))
    types = constants(source(ROOT + "constants/type_mappings.py"))
    prompts.pop("_DEFAULT_SYSTEM_PROMPT", None)  # its authors: not used
    return {**prompts, "GORILLA_TO_OPENAPI": types["GORILLA_TO_OPENAPI"]}


def long_context(source):
    return constants(source(SOURCES + "long_context.py"))


def backend_tables(source):
    back_end = lambda name: source(f"{SOURCES}{name}.py")
    tables = {}
    for name in ("message_api", "posting_api", "ticket_api", "trading_bot", "travel_booking", "vehicle_control"):
        tables[name] = {"DEFAULT_STATE": encoded(constants(back_end(name))["DEFAULT_STATE"])}
    inner = {
        "trading_bot": ("symbol_map", "sector_map"),
        "travel_booking": ("base_costs", "exchange_rates", "airport_map"),
        "math_api": ("to_meters", "conversion"),
    }
    for name, variables in inner.items():
        tree = back_end(name)
        tables.setdefault(name, {})
        for variable in variables:
            tables[name][variable] = table(local(tree, variable))
    tables["travel_booking"]["list_all_airports"] = returned(back_end("travel_booking"), "list_all_airports")
    vehicle = back_end("vehicle_control")
    tables["vehicle_control"]["zipcodes"] = zip_codes(vehicle)
    tables["vehicle_control"]["distances"] = distances(vehicle, tables["vehicle_control"]["zipcodes"])
    return tables


def zip_codes(tree):
    """`if city == C: return {"zipcode": Z}`, as C to Z."""
    codes = {}
    for branch in branches(method(tree, "get_zipcode_based_on_city")):
        codes[branch.test.comparators[0].value] = value(branch.body[0].value)["zipcode"]
    return codes


def distances(tree, codes):
    """`if (cityA == A and cityB == B) or ..: distance = {"distance": D}`, as [A, B, D], in the
    order of the zip codes; those of no city, as they occur, stand behind the others."""
    found = {}
    for branch in branches(method(tree, "estimate_distance")):
        one_way = branch.test.values[0]
        pair = frozenset(test.comparators[0].value for test in one_way.values)
        found[pair] = value(branch.body[0].value)["distance"]
        others = [test.comparators[0].value for test in one_way.values]
        codes = {**codes, **{code: code for code in others if code not in codes.values()}}
    places = list(codes.values())
    pairs = ((a, b) for i, a in enumerate(places) for b in places[i + 1:])
    return [[a, b, found[frozenset((a, b))]] for a, b in pairs if frozenset((a, b)) in found]


def branches(function):
    """The `if` and every `elif` of the first chain of a function."""
    branch = next(node for node in function.body if isinstance(node, ast.If))
    while True:
        yield branch
        if len(branch.orelse) != 1 or not isinstance(branch.orelse[0], ast.If):
            return
        branch = branch.orelse[0]


def constants(tree):
    """Every name that a module binds to a constant."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            try:
                found[node.targets[0].id] = value(node.value, found)
            except NotConstant:
                pass
    return found


def local(tree, variable):
    """What the first assignment to a variable, in whatever function, binds it to."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and getattr(targets[0], "id", None) == variable:
            return value(node.value)
    raise SystemExit(f"`{variable}` is not in the package; is it another version?")


def method(tree, name):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise SystemExit(f"`{name}` is not in the package; is it another version?")


def returned(tree, name):
    return value(next(node for node in ast.walk(method(tree, name)) if isinstance(node, ast.Return)).value)


class NotConstant(Exception):
    pass


def value(node, names={}):
    """A constant, or what is made of constants and of `names`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.Dict):
        return {value(key, names): value(item, names) for key, item in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(value(item, names) for item in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -value(node.operand, names)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](value(node.left, names), value(node.right, names))
    if isinstance(node, ast.Call) and ast.unparse(node) == "set()":
        return set()
    raise NotConstant(ast.dump(node))


def table(mapping):
    """A mapping whose keys are pairs, as [[key, value], ..]; any other as it is."""
    if all(isinstance(key, str) for key in mapping):
        return mapping
    return [[list(key), item] for key, item in mapping.items()]


def encoded(item):
    if isinstance(item, dict):
        if all(isinstance(key, str) for key in item):
            return {key: encoded(inner) for key, inner in item.items()}
        return {"__dict__": [[encoded(key), encoded(inner)] for key, inner in item.items()]}
    if isinstance(item, set):
        return {"__set__": sorted(map(encoded, item))}
    if isinstance(item, tuple):
        return {"__tuple__": [encoded(inner) for inner in item]}
    if isinstance(item, list):
        return [encoded(inner) for inner in item]
    return {"__ellipsis__": True} if item is ... else item


def write_json(path, item):
    write(path, (json.dumps(item, ensure_ascii=False, indent=1) + "\n").encode("utf-8"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])

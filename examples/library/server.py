"""The desk of the library behind HTTP, by the protocol of docs/http-environment.yaml.

    python3 examples/library/server.py 8000

Serves as many episodes at once as are asked for; each has a library of its own.
"""

import importlib.util
import itertools
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def tool(name, description, required, **properties):
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TEXT = {"type": "string"}
TOOLS = [
    tool("find_books", "Finds books by a word of their title or author.", ["word"], word=TEXT,
         shelf={"type": "string", "enum": ["fiction", "science"]}),
    tool("lend", "Lends a book to a reader.", ["book", "reader"], book=TEXT, reader=TEXT),
    tool("give_back", "Takes a book back from whoever has it.", ["book"], book=TEXT),
    tool("loans_of", "Lists the ids of the books that a reader has.", ["reader"], reader=TEXT),
]

sessions = {}
numbers = itertools.count(1)


def desk():
    """The functions and the globals of tools.py, anew."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools.py")
    spec = importlib.util.spec_from_file_location("desk", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tools(_):
    return {"tools": TOOLS, "scores": True}


def reset(body):
    session = str(next(numbers))
    sessions[session] = (desk(), body["task"])
    sessions[session][0].reset(body["task"])
    return {"session": session}


def step(body):
    library, _ = sessions[body["session"]]
    call = body["call"]
    if call["name"] not in [tool["function"]["name"] for tool in TOOLS]:
        return {"text": f"there is no {call['name']}", "failed": True}
    try:
        result = getattr(library, call["name"])(**call["arguments"])
    except Exception as error:
        return {"text": f"error: {type(error).__name__}: {error}", "failed": True}
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return {"text": text}


def score(body):
    library, task = sessions[body["session"]]
    return library.reward(task, body["episode"])


def close(body):
    sessions.pop(body["session"])
    return {}


ROUTES = {"/tools": tools, "/reset": reset, "/step": step, "/score": score, "/close": close}


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        try:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}")
            status, reply = 200, ROUTES[self.path](body)
        except Exception as error:
            status, reply = 400, {"error": f"{type(error).__name__}: {error}"}
        reply = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

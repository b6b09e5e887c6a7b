"""An MCP server over standard input and output that misbehaves when it is told to.

    server.py [--none | --double | --bad-schema | --no-schema | --pages | --endless | --mute |
               --dies | --noisy | --no-capability]
"""

import json
import os
import subprocess
import sys
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else ""
COUNT = 0


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tool(name, properties=None, **more):
    schema = {"type": "object", "properties": properties or {}}
    return {"name": name, "description": f"Does {name}.", "inputSchema": schema, **more}


TEXT = {"text": {"type": "string"}}
TOOLS = [tool("echo", TEXT), tool("count"), tool("die"), tool("hang"), tool("flood", TEXT), tool("fail"),
         tool("refuse"), tool("environ"), tool("write", TEXT), tool("read", TEXT), tool("daemon"), tool("odd")]


def listed(cursor):
    if MODE == "--none":
        return {"tools": []}
    if MODE == "--double":
        return {"tools": [TOOLS[0], TOOLS[0]]}
    if MODE == "--bad-schema":
        return {"tools": [tool("echo", {"text": {"type": "words"}})]}
    if MODE == "--no-schema":
        return {"tools": [TOOLS[0], {"name": "bare", "inputSchema": "nothing"}]}
    if MODE == "--pages":
        page = int(cursor or 0)
        rest = {"nextCursor": str(page + 1)} if page + 1 < len(TOOLS) else {}
        return {"tools": [TOOLS[page]], **rest}
    if MODE == "--endless":
        return {"tools": [tool(f"echo{cursor or 0}")], "nextCursor": str(int(cursor or 0) + 1)}
    return {"tools": TOOLS}


def text(words, **more):
    return {"content": [{"type": "text", "text": words}], **more}


def flood(kind):
    if kind == "result":
        return text("x" * 3_000_000)
    if kind == "stderr":
        for _ in range(2000):
            sys.stderr.write("e" * 1000 + "\n")
        return text("all said")
    line = {
        "garbage": "no JSON\n" * 1000,
        "endless line": "x" * 100_000,
        "messages": json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                                "params": {"level": "info", "data": "x" * 1000}}) + "\n",
        "shapes": json.dumps({"jsonrpc": "2.0", "id": [], "result": 1}) + "\n",
    }[kind]
    while True:
        sys.stdout.write(line)


def call(name, arguments):
    global COUNT
    if name == "echo":
        return text(arguments["text"])
    if name == "count":
        COUNT += 1
        return text(str(COUNT))
    if name == "die":
        os._exit(3)
    if name == "hang":
        time.sleep(1000)
    if name == "flood":
        return flood(arguments["text"])
    if name == "fail":
        return text("it is not so", isError=True)
    if name == "environ":
        return text(json.dumps(dict(os.environ), sort_keys=True))
    if name == "write":
        open(arguments["text"], "w").close()
        return text(f"wrote {arguments['text']}")
    if name == "read":
        return text(" ".join(sorted(os.listdir(arguments["text"]))))
    if name == "daemon":
        child = subprocess.Popen(["sleep", "1000"])
        return text(str(child.pid))
    if name == "odd":
        return {"content": "no list"}
    return None


def main():
    if MODE == "--mute":
        time.sleep(1000)
    if MODE == "--dies":
        sys.exit("no licence for today")
    if MODE == "--noisy":
        print("Starting the server ...", flush=True)
        print("warning: it is old", file=sys.stderr, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        method, params = request["method"], request.get("params") or {}
        if method == "initialize":
            capabilities = {} if MODE == "--no-capability" else {"tools": {}}
            answer["result"] = {"protocolVersion": params["protocolVersion"], "capabilities": capabilities,
                                "serverInfo": {"name": "test", "version": "1"}}
        elif method == "tools/list" and MODE != "--no-capability":
            answer["result"] = [1] if MODE == "--listless" else listed(params.get("cursor"))
        elif method == "tools/call":
            result = call(params["name"], params.get("arguments") or {})
            if result is None:
                answer["error"] = {"code": -32602, "message": f"there is no {params['name']}"}
            else:
                answer["result"] = result
        else:
            answer["error"] = {"code": -32601, "message": f"no method {method}"}
        say(answer)


main()

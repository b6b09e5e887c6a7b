"""Runs a command on a terminal of its own, 80 columns by 24 lines, and presses keys.

    python3 terminal.py STEP... -- COMMAND...

A STEP is `GLOB:TEXT=KEYS`: once the text is in a file of that pattern, the keys are pressed, and the
next step is waited for. Prints {"code": exit code, "output": what the terminal was
sent, "is_restored": whether the terminal's settings are as they were} as JSON.
"""

import fcntl
import glob
import json
import os
import pty
import select
import signal
import struct
import sys
import termios

cut = sys.argv.index("--")
steps = [step.rsplit("=", 1) for step in sys.argv[1:cut]]
command = sys.argv[cut + 1 :]


def is_met(condition):
    pattern, text = condition.split(":")
    return any(text in open(path).read() for path in glob.glob(pattern))


process, terminal = pty.fork()
if process == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.environ["TERM"] = "xterm-256color"
    os.execv(command[0], command)

before = termios.tcgetattr(terminal)
output = b""
signal.alarm(120)  # A command that waits for a key that never comes ends with this terminal.
while True:
    if steps and is_met(steps[0][0]):
        os.write(terminal, steps.pop(0)[1].encode())
    if not select.select([terminal], [], [], 0.05)[0]:
        continue
    try:
        output += os.read(terminal, 65536)
    except OSError:  # Nobody has the terminal open any more.
        break
_, status = os.waitpid(process, 0)
found = {
    "code": os.waitstatus_to_exitcode(status),
    "output": output.decode("utf-8", "replace"),
    "is_restored": termios.tcgetattr(terminal) == before,
}
json.dump(found, sys.stdout)

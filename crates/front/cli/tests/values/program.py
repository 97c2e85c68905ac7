"""A program that reads its key from its environment, once, as most do.

Words: port, name, refused, ready, lifeline, mode. It prints its key, as a careless program does. Modes: plain; stubborn,
which does not end on TERM and leaves a process of another session behind; picky, which fails with any key but its first;
family, which calls from a child and not itself; hoarder, which keeps its first key in a file of its own; busy, which starts
one short process after the other.
"""
import os
import signal
import subprocess
import sys
import threading
import time

from calls import Link, write

port, name, refused, ready, lifeline, mode = sys.argv[1:]
key = os.environ["KEY"]
print("the key is", key, flush=True)

if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        name += "-left"
        ready += "-left"

if mode == "family" and os.fork() != 0:
    os.wait()
    sys.exit(0)

if mode == "hoarder":
    with open(ready + "-own", "a+") as file:
        file.seek(0)
        own = file.read()
        if not own:
            file.write(key)
        key = own or key

if mode == "busy":
    def tools():
        while True:
            subprocess.run(["sleep", "0.1"], check=False)

    for _ in range(3):
        threading.Thread(target=tools, daemon=True).start()

link = Link(port, name)
status = link.call(key)
write(ready, str(os.getpid()))
if mode == "picky":
    with open(ready + "-first", "a+") as file:
        file.seek(0)
        first = file.read()
        if not first:
            file.write(key[-4:])
        elif first != key[-4:]:
            print("this key is not for me", file=sys.stderr, flush=True)
            sys.exit(3)
while os.path.exists("/proc/" + lifeline):
    if status != 200:
        with open(refused, "a") as log:
            log.write(f"{name} was refused\n")
    time.sleep(0.03)
    status = link.call(key)

#!/usr/bin/python3
"""Stands between keyroll and ssh to a host; its words are the command of ssh. It passes everything on until keyroll gives the
host an order to deliver. The host gets that order, and keyroll gets another answer.

/srv/ssh/cut says which answer, and whether later connections are cut too ("stays"): at their first order after the opening."""
import os
import re
import subprocess
import sys
import threading

with open("/srv/ssh/cut") as said:
    HOW, LASTS = said.read().split()
WAS_CUT = "/srv/ssh/was_cut"
ANSWERS = {
    # A frame of the right length that holds something else.
    "garbage": b"\0\0\0\x15welcome to this host\n",
    "large": b"\xff\xff\xff\xff",
    "half": b'\0\0\0\x64{"answer"',
    "mute": b"",
}
FIRST = rb'"order":\{"deliver"'
LATER = rb'"order":\{"(?!open"|sent_ms")[a-z_]+"'

again = os.path.exists(WAS_CUT)
if again and LASTS != "stays":
    os.execv(sys.argv[1], sys.argv[1:])
order = re.compile(LATER if again else FIRST)
cut = threading.Event()
ssh = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def write(to, data):
    while data:
        data = data[os.write(to, data):]


def up():
    """To the host. An order may come in two parts."""
    seen = b""
    try:
        while data := os.read(0, 65536):
            seen += data
            if not cut.is_set() and order.search(seen):
                open(WAS_CUT, "w").close()
                # Before the host hears of the order: whatever comes from it later is the answer to that.
                cut.set()
            seen = seen[-64:]
            write(ssh.stdin.fileno(), data)
    except OSError:
        pass  # The host has gone: its end says so.
    ssh.stdin.close()


upwards = threading.Thread(target=up, daemon=True)
upwards.start()
answered = False
while data := os.read(ssh.stdout.fileno(), 65536):
    if not cut.is_set():
        write(1, data)
    elif not answered:
        answered = True
        write(1, ANSWERS[HOW])
        if HOW == "half":
            os._exit(0)
if cut.is_set():
    # keyroll closes the connection, not this.
    upwards.join()
sys.exit(ssh.wait())

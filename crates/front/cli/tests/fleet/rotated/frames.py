#!/usr/bin/python3
"""Runs ssh, counts the frames of all connections, and at one of them ends ssh or keyroll: that frame does not arrive.

Words: the folder of the counter, then the command. In the folder, `count` has the number of the last frame; `strike` has the
number of the frame and `host` or `driver`, and is called `struck` afterwards.
"""
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading

READY = b"KEYROLL-HOST 1 state=ready "
LENGTH_BYTES = 4
PIECE_BYTES = 1 << 16

if not sys.argv[-1].endswith(" serve"):
    os.execvp(sys.argv[2], sys.argv[2:])

folder = pathlib.Path(sys.argv[1])
ssh = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
# From this on there are frames in both directions: before it there may be the program in one, and text in the other.
ready = threading.Event()


def count():
    """Counts a frame, and ends what is to be ended at it."""
    with open(folder / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = int((folder / "count").read_text()) + 1
        (folder / "count").write_text(str(number))
        try:
            at, who = (folder / "strike").read_text().split()
        except FileNotFoundError:
            return
        if number < int(at):
            return
        (folder / "strike").rename(folder / "struck")
        driver = os.getppid()
        # Another process has its place if keyroll has ended by itself.
        if who == "driver" and pathlib.Path(f"/proc/{driver}/comm").read_text() == "keyroll\n":
            os.kill(driver, signal.SIGKILL)
        ssh.kill()
        os._exit(255)


def give(to, what):
    """Passes something on; whoever has gone does not get it."""
    try:
        to.write(what)
        to.flush()
    except BrokenPipeError:
        pass


def whole(held, to):
    """Counts the whole frames and passes them on. Returns what there is of the next one."""
    while len(held) >= LENGTH_BYTES:
        end = LENGTH_BYTES + int.from_bytes(held[:LENGTH_BYTES], "big")
        if len(held) < end:
            break
        count()
        give(to, held[:end])
        held = held[end:]
    return held


def up():
    """From keyroll to the host."""
    held = b""
    while piece := os.read(0, PIECE_BYTES):
        if ready.is_set():
            held = whole(held + piece, ssh.stdin)
        else:
            give(ssh.stdin, piece)
    give(ssh.stdin, held)
    try:
        ssh.stdin.close()
    except BrokenPipeError:
        pass


def down():
    """From the host to keyroll."""
    out = sys.stdout.buffer
    while line := ssh.stdout.readline():
        # keyroll sends its first frame when it has read this.
        if READY in line:
            ready.set()
        give(out, line)
        if ready.is_set():
            break
    held = b""
    while piece := ssh.stdout.read1(PIECE_BYTES):
        held = whole(held + piece, out)
    give(out, held)


threading.Thread(target=up, daemon=True).start()
down()
code = ssh.wait()
os._exit(code if code >= 0 else 255)

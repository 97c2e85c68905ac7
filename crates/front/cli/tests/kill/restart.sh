#!/bin/sh
# Ends the worker in good order, starts it again, and returns once it has named itself. One at a time: a run of it
# that a dead driver left behind is waited for, and so is a worker that it started and that has not named itself.
# `run/aim-…` kills the driver at that place, once; `run/fails-on` names what it does not start with.
set -eu
cd @DIR@
aim() {
    if [ -e "run/aim-$1" ]; then
        rm "run/aim-$1"
        kill -KILL "$PPID"
        [ "$1" != before ] || exit 1
    fi
}
exec 9>run/restart.lock
flock 9
aim before
aim during
if [ -e run/fails-on ] && [ "$(sha256sum <api/api.env)" != "$(cat run/fails-on)" ]; then exit 3; fi
for file in run/api.pid run/api.starting; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    rm -f "$file"
done
# It holds the lock until its number is written down: whoever ends this script, the next one knows of it.
KEYROLL_TEST_PART="worker name=api @WORDS@ copy=@DIR@/api/api.env pid_file=@DIR@/run/api.pid" \
    setsid sh -c 'echo $$ >run/api.starting; exec 9>&-; exec @PROGRAM@ kill::part --exact --nocapture' \
    </dev/null >>log/api.out 2>&1 &
while [ ! -e run/api.pid ]; do sleep 0.02; done
rm -f run/api.starting
aim after

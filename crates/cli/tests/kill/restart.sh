#!/bin/sh
# Ends the worker in good order, starts it again, and returns once it has named itself. One at a time: a run of it
# that a dead driver left behind is waited for.
set -eu
cd @DIR@
exec 9>run/restart.lock
flock 9
if [ -e run/api.pid ]; then
    pid=$(cat run/api.pid)
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    rm -f run/api.pid
fi
KEYROLL_TEST_PART="worker name=api @WORDS@ copy=@DIR@/api/api.env pid_file=@DIR@/run/api.pid" \
    setsid @PROGRAM@ part --exact --nocapture </dev/null >>log/api.out 2>&1 9>&- &
while [ ! -e run/api.pid ]; do sleep 0.02; done

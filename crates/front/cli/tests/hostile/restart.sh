#!/bin/sh
# Ends the worker, starts it again, and returns once it has named itself. One at a time: a run of it that a dead driver
# left behind is waited for, and so is a worker that it started and that has not named itself. A file `run/hold` makes
# it wait until that is gone; with a file `run/nothing` it starts none.
set -eu
cd @DIR@
exec 9>run/restart-$1.lock
flock 9
touch run/restarting-$1
while [ -e run/hold ]; do sleep 0.02; done
if [ -e run/fail ]; then exit 3; fi
for file in run/$1.pid run/$1.starting; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    rm -f "$file"
done
if [ -e run/nothing ]; then exit 0; fi
# It holds the lock until its number is written down: whoever ends this script, the next one knows of it.
KEYROLL_TEST_PART="worker name=$1 @WORDS@ copy=@DIR@/$2 pid_file=@DIR@/run/$1.pid" NAME=$1 \
    setsid sh -c 'echo $$ >run/$NAME.starting; exec 9>&-; exec @PROGRAM@ hostile::part --exact --nocapture' \
    </dev/null >>log/$1.out 2>&1 &
while [ ! -e run/$1.pid ]; do sleep 0.02; done
rm -f run/$1.starting

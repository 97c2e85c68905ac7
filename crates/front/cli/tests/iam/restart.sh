#!/bin/sh
# Ends one instance, starts it again, and returns once it has named itself. One at a time: a run of it that a dead driver
# left behind is waited for, and so is an instance that it started and that has not named itself.
set -eu
cd @DIR@
exec 9>run/restart-$1.lock
flock 9
for file in run/$1.pid run/$1.starting; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    rm -f "$file"
done
# It holds the lock until its number is written down: whoever ends this script, the next one knows of it.
KEYROLL_TEST_IAM_PART="work name=$1 store=@STORE@ lifeline=@LIFELINE@ dir=@DIR@ copy=@DIR@/app/service.env" NAME=$1 \
    setsid sh -c 'echo $$ >run/$NAME.starting; exec 9>&-; exec @PROGRAM@ iam::part --exact --nocapture' \
    </dev/null >>log/$1.out 2>&1 &
while [ ! -e run/$1.pid ]; do sleep 0.02; done
rm -f run/$1.starting

#!/bin/sh
# Ends a worker that was started by hand, in good order, and starts it again.
set -eu
umask 022
cd "$(dirname "$0")/.."
name=hand-$1
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
if [ -e "run/$name.pid" ]; then
    pid=$(cat "run/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.02; done
    rm -f "run/$name.pid"
fi
case $1 in
a) port=@HAND_A@ ;;
*) port=@HAND_B@ ;;
esac
KEYROLL_TEST_PART="worker env=hand/$1.env port=$port pool=2 warm_ms=500 drain_ms=500 rate=40 count=log/$name.count log=log/$name.log lifeline=1" \
    setsid @PROGRAM@ postgres::part --exact --nocapture </dev/null >>"log/$name.out" 2>&1 &
echo $! >"run/$name.pid"

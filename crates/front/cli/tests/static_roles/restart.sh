#!/bin/sh
# Ends one instance in good order and starts it again.
set -eu
cd @DIR@
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
if [ -e "run/$1.pid" ]; then
    pid=$(cat "run/$1.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.02; done
    rm -f "run/$1.pid"
fi
case $1 in
app-1) port=@APP_1@ ;;
app-2) port=@APP_2@ ;;
*) port=@APP_3@ ;;
esac
# It becomes the instance, which calls itself without a pause and counts what failed.
KEYROLL_TEST_PART="worker env=app/service.env port=$port pool=2 warm_ms=0 drain_ms=0 log=log/$1.log lifeline=@LIFELINE@ rate=@RATE@ count=log/$1.count" \
    setsid @PROGRAM@ postgres::part --exact --nocapture </dev/null >>"log/$1.out" 2>&1 &
echo $! >"run/$1.pid"

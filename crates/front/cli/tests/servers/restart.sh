#!/bin/sh
# Ends one instance in good order and starts it again.
set -eu
cd "$(dirname "$0")/.."
name=api-$1
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
if [ -e "run/$name.pid" ]; then
    pid=$(cat "run/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.02; done
    rm -f "run/$name.pid"
fi
case $1 in
1) port=@API_1@ ;;
*) port=@API_2@ ;;
esac
KEYROLL_TEST_PART="worker env=app/api.env port=$port pool=4 warm_ms=1000 drain_ms=1500 log=log/$name.log lifeline=@LIFELINE@" \
    setsid @PROGRAM@ servers::part --exact --nocapture </dev/null >>"log/$name.out" 2>&1 &
# It becomes the worker, and takes a second to be ready.
echo $! >"run/$name.pid"

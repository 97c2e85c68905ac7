#!/bin/sh
# Ends one instance in good order and starts it again.
set -eu
cd "$(dirname "$0")/.."
name=@SERVICE@-$1
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
if [ -e "run/$name.pid" ]; then
    pid=$(cat "run/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.02; done
    rm -f "run/$name.pid"
fi
set -- "$1" @PORTS@
case $name in
api-1) port=$2 env=app/api.env ;;
api-2) port=$3 env=app/api.env ;;
*) port=@BILLING@ env=billing/billing.env ;;
esac
KEYROLL_TEST_PART="worker env=$env port=$port pool=4 warm_ms=1000 drain_ms=1500 log=log/$name.log lifeline=@LIFELINE@@MORE@" \
    setsid @PROGRAM@ postgres::part --exact --nocapture </dev/null >>"log/$name.out" 2>&1 &
# It becomes the worker, and takes a second to be ready.
echo $! >"run/$name.pid"

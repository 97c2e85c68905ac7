#!/bin/sh
# Ends one instance in good order, starts it again, and waits until the proxy uses it. One at a time: a run of it that a dead driver left behind is
# waited for. A file `run/hold-N` makes it wait until that is gone.
set -eu
cd @DIR@
name=api-$1
exec 9>run/restart-$1.lock
flock 9
touch run/restarting-$1
while [ -e run/hold-$1 ]; do sleep 0.02; done
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
if [ -e "run/$name.pid" ]; then
    pid=$(cat "run/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.02; done
    rm -f "run/$name.pid"
fi
case $1 in
1) port=@PORT_1@ ;;
*) port=@PORT_2@ ;;
esac
rm -f "run/$name.used"
KEYROLL_TEST_PART="worker used=run/$name.used env=@COPY@ port=$port pool=2 warm_ms=0 drain_ms=1500 log=log/$name.log name=$name lifeline=@LIFELINE@ calls=@CALLS@" \
    setsid @PROGRAM@ issuers::part --exact --nocapture </dev/null >>"log/$name.out" 2>&1 9>&- &
# It becomes the worker.
echo $! >"run/$name.pid"
pid=$!
while [ ! -e "run/$name.used" ] && alive "$pid"; do sleep 0.02; done

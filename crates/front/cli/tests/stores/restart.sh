#!/bin/sh
# Ends one instance, starts it again, and returns once it has named itself. One at a time: a run of it that a dead driver
# left behind is waited for, and so is an instance that it started and that has not named itself.
# `run/aim-restart-…` kills the driver at that place, once.
set -eu
cd @DIR@
aim() {
    if [ -e "run/aim-restart-$1" ]; then
        rm "run/aim-restart-$1"
        kill -KILL "$PPID"
        [ "$1" != before ] || exit 1
    fi
}
exec 9>run/restart-$1.lock
flock 9
aim before
for file in run/$1.pid run/$1.starting; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    rm -f "$file"
done
words="name=$1 @WORDS@ pid_file=@DIR@/run/$1.pid logins=@DIR@/log/$1"
store="kind=@KIND@ store=@STORE@ login=@DIR@/app/login stage=@GIVEN_OUT@"
case $1 in
reader-*) part="KEYROLL_TEST_STORE_PART=read $words $store" as=stores::part ;;
agent) part="KEYROLL_TEST_STORE_PART=read again=yes $words $store" as=stores::part ;;
*) part="KEYROLL_TEST_PART=worker $words copy=@DIR@/app/service.env" as=hostile::part ;;
esac
# It holds the lock until its number is written down: whoever ends this script, the next one knows of it.
env "$part" NAME=$1 AS=$as \
    setsid sh -c 'echo $$ >run/$NAME.starting; exec 9>&-; exec @PROGRAM@ $AS --exact --nocapture' \
    </dev/null >>log/$1.out 2>&1 &
while [ ! -e run/$1.pid ]; do sleep 0.02; done
rm -f run/$1.starting
# What somebody does at this moment, once.
if [ -e "run/then-$1" ]; then
    mv "run/then-$1" run/then
    sh run/then >/dev/null 2>&1
fi
aim after

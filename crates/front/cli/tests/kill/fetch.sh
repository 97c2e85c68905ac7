#!/bin/sh
# Makes a copy anew, as from a store. `run/aim-…` kills the driver at that place, once.
set -eu
cd @DIR@
aim() {
    if [ -e "run/aim-$1" ]; then
        rm "run/aim-$1"
        kill -KILL "$PPID"
        [ "$1" != before ] || exit 1
    fi
}
aim before
umask 077
grep '^KEY=' nightly/nightly.env >puller/.next
mv puller/.next puller/puller.env
aim after

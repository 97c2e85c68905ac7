#!/bin/sh
# Makes the env file of the service from the store, with the login of its host: `init.sh [VERSION FILE]`.
# `run/aim-fetch-…` kills the driver at that place, once.
set -eu
cd @DIR@
aim() {
    if [ -e "run/aim-fetch-$1" ]; then
        rm "run/aim-fetch-$1"
        kill -KILL "$PPID"
        [ "$1" != before ] || exit 1
    fi
}
aim before
umask 077
KEYROLL_TEST_STORE_PART="fetch kind=@KIND@ store=@STORE@ login=@DIR@/app/login stage=${1:-@GIVEN_OUT@} out=@DIR@/${2:-@ENV_FILE@}" \
    @PROGRAM@ stores::part --exact >/dev/null 2>&1
aim after

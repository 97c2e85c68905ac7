#!/bin/sh
# One real call with the key of the env file that is named, in the job's own environment.
set -eu
set -a
. "$1"
set +a
exec @PROGRAM@ demo-part probe --dir @DIR@

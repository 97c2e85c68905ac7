#!/bin/sh
# Loads the env file, as a supervisor does, and becomes the worker.
set -eu
set -a
. @ENV_FILE@
set +a
exec @PROGRAM@ demo-part worker --name "@NAME@" --dir @DIR@

#!/bin/sh
# Ends one worker in good order, starts it again, and returns when it is ready.
set -eu
exec @RESTARTER@ demo-part restart --name "@NAME@" --dir @DIR@

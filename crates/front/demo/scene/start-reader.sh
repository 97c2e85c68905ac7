#!/bin/sh
# Becomes the worker, which reads its key from a file by itself.
set -eu
exec @PROGRAM@ demo-part worker --name "@NAME@" --dir @DIR@

#!/bin/sh
# The nightly job. In the demo no night comes.
set -eu
exec @DIR@/nightly/probe.sh @DIR@/nightly/nightly.env

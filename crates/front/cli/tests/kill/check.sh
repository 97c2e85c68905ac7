#!/bin/sh
# A real call as the nightly job makes it, with the file that is named.
set -eu
KEYROLL_TEST_PART="try @WORDS@ copy=$1" exec @PROGRAM@ kill::part --exact >/dev/null 2>&1

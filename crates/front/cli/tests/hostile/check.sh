#!/bin/sh
# A real call with one variable of the file that is named.
set -eu
KEYROLL_TEST_PART="try @WORDS@ variable=$1 copy=$2" exec @PROGRAM@ hostile::part --exact >/dev/null 2>&1

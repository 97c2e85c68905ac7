#!/bin/sh
# One call with the value of a file.
KEYROLL_TEST_PART="try @WORDS@ copy=$1" exec @PROGRAM@ hostile::part --exact >/dev/null 2>&1

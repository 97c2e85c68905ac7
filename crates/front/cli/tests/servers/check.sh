#!/bin/sh
# A real login as the job makes it, with the file that is named.
KEYROLL_TEST_PART="login env=$1" exec @PROGRAM@ servers::part --exact --nocapture >/dev/null 2>&1

#!/bin/sh
# A real login as the job makes it, with the file that is named.
KEYROLL_TEST_PART="login env=$1 variable=DATABASE_URL" exec @PROGRAM@ debian::part --exact --nocapture >/dev/null 2>&1

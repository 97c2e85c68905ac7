#!/bin/sh
# A real call as the job makes it, with the file that is named.
KEYROLL_TEST_IAM_PART="try store=@STORE@ copy=$1" exec @PROGRAM@ iam::part --exact --nocapture >/dev/null 2>&1

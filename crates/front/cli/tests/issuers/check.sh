#!/bin/sh
# A real call with the key in one variable of the file that is named.
cd @DIR@
KEYROLL_TEST_PART="call env=$2 only=$1 name=check calls=@CALLS@" exec @PROGRAM@ issuers::part --exact >/dev/null 2>&1

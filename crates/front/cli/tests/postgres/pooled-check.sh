#!/bin/sh
# Every login of ours in a list of logins is let in by the pooler, and by the server behind it.
set -eu
pass=$(mktemp)
trap 'rm -f "$pass"' EXIT
sed -n 's/^"\(orders[^"]*\)" "\([^"]*\)".*/127.0.0.1:@POOLER@:shop:\1:\2/p' "$1" >"$pass"
export PGPASSFILE="$pass"
users=$(cut -d: -f4 "$pass")
[ -n "$users" ]
for user in $users; do
    psql --no-psqlrc --no-password --quiet -h 127.0.0.1 -p @POOLER@ -d shop -U "$user" -c 'SELECT 1' >/dev/null 2>&1 || exit 1
done

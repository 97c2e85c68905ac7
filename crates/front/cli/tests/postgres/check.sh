#!/bin/sh
# A real login as the job makes it, with the password file that is named.
set -eu
line=$(grep -v '^#' "$1" | cut -d: -f1-4)
export PGPASSFILE="$1"
IFS=: read -r host port database user <<EOF
$line
EOF
exec psql --no-psqlrc --no-password --quiet -h "$host" -p "$port" -d "$database" -U "$user" -c 'SELECT 1' >/dev/null 2>&1

# What a host runs first, over ssh: it looks for keyroll-host, takes it if it is not there, and becomes it.
# $1: the programs that can be sent, each machine:sum:bytes. $2: 1 for sudo. $3: an installed program, or nothing. $4: the
# word that it is started with.
# One line is made of this: lines with this mark go, the others are joined by a blank. So each ends its command.
umask 077; LC_ALL=C; export LC_ALL; m=$(uname -m); w=; n=; f=$3; t=; g=;
for o in $1; do case $o in "$m":*) r=${o#*:}; w=${r%%:*}; n=${r##*:};; esac; done;
c=${XDG_CACHE_HOME:-$HOME/.cache}/keyroll;
free() { df -Pk "$c" 2>/dev/null | { read -r x; read -r a b d e x; echo "${e:-unknown}"; }; };
say() { echo "KEYROLL-HOST 1 state=$1 machine=$m sudo=$u free=$(free)"; };
sum() { x=$(sha256sum <"$1" 2>/dev/null || shasum -a 256 <"$1" 2>/dev/null); echo "${x%% *}"; };
clean() { [ -z "$t" ] || rm -f "$t"; t=; };
# The file goes before the word: with the connection gone, the word ends this shell.
fail() { clean; say "$1"; exit 0; };
u=no; [ "$2" = 1 ] && u=asked; [ "$(id -u)" = 0 ] && u=root;
if [ -z "$f" ]; then
  [ -n "$w" ] || fail other-machine;
  f=$c/keyroll-host-$w;
  # Before the sum too: in a folder of others the program could be replaced after it. A link could lead to any folder.
  [ -h "$c" ] && fail no-cache;
  mkdir -p "$c" 2>/dev/null && [ -O "$c" ] && chmod 700 "$c" 2>/dev/null || fail no-cache;
  if [ -f "$f" ] && [ -O "$f" ] && [ "$(sum "$f")" = "$w" ]; then :; else
    trap clean EXIT; trap "exit 1" HUP INT TERM PIPE;
    t=$(mktemp "$c/new.XXXXXX" 2>/dev/null) || fail no-cache;
    say need;
    head -c "$n" >"$t" 2>/dev/null || fail no-space;
    [ "$(sum "$t")" = "$w" ] || fail wrong-sum;
    chmod 700 "$t" && mv -f "$t" "$f" || fail no-cache;
    t=;
  fi;
fi;
"$f" --version >/dev/null 2>&1 </dev/null || fail no-exec;
# The very command, at the end of its input at once: a list of what sudo allows does not tell what needs a password.
if [ "$u" = asked ]; then u=refused; sudo -n -- "$f" "$4" >/dev/null 2>&1 </dev/null && u=yes && g="sudo -n --"; fi;
say ready;
exec $g "$f" "$4"

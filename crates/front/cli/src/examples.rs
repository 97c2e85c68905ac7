//! The end of each command's help: an example to paste, and the command's exit codes.

pub(crate) const KEYROLL: &str = "\
Exit codes, files and environment variables: docs/reference/cli.md. Pages below
docs/ are in /usr/share/doc/keyroll, or in share/doc/keyroll of the archive.";
pub(crate) const DEMO: &str = "Example: keyroll demo\nExit codes: 0 done, 1 failed, 130 interrupted";
pub(crate) const SCAN: &str = "\
Example: keyroll scan
         keyroll scan --host web-1 --host 'db-*'
Exit codes: 0 done, 1 failed, or a host could not be searched";
pub(crate) const WHY: &str = "\
Example: keyroll why openai
         keyroll why openai --host web-1
Exit codes: 0 done, 1 failed, or a host could not be searched";
pub(crate) const TRACE: &str = "\
Example: keyroll trace openai
         keyroll trace openai --all-hosts
Exit codes: 0 done, 1 failed, or a host could not be searched";
pub(crate) const GRAPH: &str =
    "Example: keyroll graph openai --format svg > openai.svg\nExit codes: 0 done, 1 failed";
pub(crate) const LEAKS: &str = "\
Example: keyroll leaks src
Exit codes: 0 no open finding, 1 failed, 3 open findings;
8 with --strict: no open finding, but something was not scanned";
pub(crate) const FINGERPRINTS: &str = "\
Example: keyroll fingerprints --out keyroll.prints
Exit codes: 0 done, 1 failed, 3 some values could be guessed and were not exported";
pub(crate) const REDACT: &str = "\
Not redacted: passwords and tokens that only a name or a position gives away
(password=...), and secrets that only a fingerprint file knows. Finding them
needs more text than a stream may hold back; keyroll leaks finds both. Of a
secret that is an ordinary word, only whole words are redacted;
keyroll doctor names these secrets.

Example: keyroll redact app.log > report.txt
Exit codes: 0 done, 1 failed";
pub(crate) const RUN: &str = "\
Not redacted: as with keyroll redact. Secrets that are added to keyroll while
the program runs are redacted from then on.

On a terminal the program has a terminal of its own, with the size and the keys
of yours; else, and with --no-terminal, it has pipes. Not found: a value with
terminal codes between its bytes, and what a program with pipes writes to
/dev/tty. Ctrl-Z stops the job of a shell, but not the program itself.

The program is killed when keyroll is. keyroll passes TERM, HUP, INT, QUIT,
USR1, USR2 and WINCH on to the program, unless the signal was ignored when
keyroll started. INT, QUIT and WINCH of a terminal that both are on reach the
program without keyroll, which does not pass these on. A process that signals
both reaches the program twice: under systemd, set KillMode=mixed.

After the program has ended, TERM, HUP, INT or QUIT ends keyroll, even if
another process still holds the program's output open. If nothing reads
keyroll's own output, a second signal one second later ends keyroll, which
prints how many bytes were lost.

With --env a value comes from the socket of keyroll serve, for the program that
`serves` of a consumer names. --restart starts it again with each new value,
after TERM, and KILL when --grace is over: docs/guides/values-for-programs.md

Example: keyroll run -- ./deploy.sh --verbose
  keyroll run --restart --env API_KEY=anthropic -- node agent.js
Exit codes: the program's own; 128 plus the number of the signal that ended it;
127 no such program, 126 not executable; 1 keyroll did not start it;
not 0 if some of its output could not be shown, or the store could not be read
while the program ran";
pub(crate) const GET: &str = "\
The value goes to stdout, and not to a terminal unless --show is given. Each
program above keyroll that is named in keyroll.toml is written down as having
this version. keyroll ends the old key only when that program has ended, or has
asked again and the time of --expires is over.

Example: keyroll get anthropic
  settings.json of Claude Code:
    \"apiKeyHelper\": \"keyroll get anthropic --expires 300\"
  ~/.aws/config:  credential_process = keyroll get aws --format aws
  git config credential.https://github.com.helper \\
    '!keyroll get --format git github'
Exit codes: 0 printed, 1 not given, 2 usage";
pub(crate) const HOSTS_LIST: &str = "Example: keyroll hosts list\nExit codes: 0 done, 1 failed";
pub(crate) const HOSTS_CHECK: &str = "\
Example: keyroll hosts check
Exit codes: 0 nothing is missing, 1 failed, 2 usage, 3 findings";
pub(crate) const HOSTS_ACCEPT: &str = "\
Example: keyroll hosts accept web-1
Exit codes: 0 done, 1 refused, 2 usage";
pub(crate) const HOSTS_WAIVE: &str = "\
Example: keyroll hosts waive web-3 --reason 'its disk is dead'
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const HOSTS_IMPORT: &str = "\
Example: keyroll hosts import ~/.ssh/config --dry-run
         ansible-inventory --list | keyroll hosts import -
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const INIT: &str = "\
Example: keyroll init --dry-run
         keyroll init --host 'web-*'
Exit codes: 0 done, 1 failed, nothing changed; or a host could not be searched,
and what the others have was written";
pub(crate) const DOCTOR: &str =
    "Example: keyroll doctor\nExit codes: 0 nothing is missing, 3 findings, 6 an operator must decide";
pub(crate) const EXPLAIN: &str = "Example: keyroll explain K0404\nExit codes: 0 done, 2 usage";
pub(crate) const SECRET_ADD: &str = "\
Example: keyroll secret add openrouter --id KEY_ID < value.txt
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 7 a rotation is open";
pub(crate) const SECRET_IMPORT: &str = "\
Example: keyroll secret import openrouter
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 3 some secrets were not
imported";
pub(crate) const SECRET_DRIFT: &str = "\
Example: keyroll secret drift vonage
Exit codes: 0 nothing differs, 1 failed, 2 usage, 3 something differs or is not
visible";
pub(crate) const SECRET_CHECK_STORE: &str = "\
Example: keyroll secret check-store --write ./stores/pass scratch
Exit codes: 0 the program keeps every rule, 2 usage, 3 it breaks a rule";
pub(crate) const SECRET_ACCEPT_KEY: &str = "\
Example: keyroll secret accept-key openrouter --id 9f31 --label keyroll/01J8/4
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const SECRET_REWRAP: &str = "\
Example: keyroll secret rewrap --to credential:keyroll
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 6 an operator must
decide, 7 a rotation is being driven";
pub(crate) const SECRET_LIST: &str = "Example: keyroll secret list\nExit codes: 0 done, 1 failed";
pub(crate) const SECRET_SHOW: &str = "Example: keyroll secret show openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const ISSUERS_LIST: &str = "Example: keyroll issuers list\nExit codes: 0 done, 1 failed";
pub(crate) const ISSUERS_SHOW: &str = "\
Example: keyroll issuers show openrouter
Example: keyroll issuers show hmac-set --text > hooks.toml
Exit codes: 0 done, 1 failed";
pub(crate) const ISSUERS_LINT: &str = "\
Example: keyroll issuers lint ./acme.toml
Exit codes: 0 no spec is refused, 1 a spec is refused, 2 usage, 3 with
--strict a warning";
pub(crate) const PLAN: &str = "\
Example: keyroll plan openrouter
Exit codes: 0 saved, 1 refused, nothing changed, 6 an operator must decide,
7 a rotation is open";
pub(crate) const SPLIT: &str = "\
Example: keyroll split openrouter
Exit codes: 0 saved, 1 refused, nothing changed, 2 usage, 6 an operator must
decide, 7 a rotation is open";
pub(crate) const APPLY: &str = "\
Example: keyroll apply PLAN_ID --confirm=openrouter
Exit codes: 0 done, 1 nothing changed, 4 paused, 5 rolled back, 6 an operator
must decide, 7 another rotation of the secret is open, 130 paused by a signal";
pub(crate) const RESUME: &str = "\
Example: keyroll resume --confirm=openrouter
Exit codes: 0 done, 1 nothing changed, 4 paused, 5 rolled back, 6 an operator
must decide, 130 paused by a signal";
pub(crate) const PAUSE: &str = "Example: keyroll pause\nExit codes: 1 failed, 4 paused";
pub(crate) const STATUS: &str = "\
Example: keyroll status
Exit codes: 0 nothing to do, 4 paused or no driver, 6 an operator must decide";
pub(crate) const ABORT: &str = "\
Example: keyroll abort
Exit codes: 0 completed forward because the old key is dead, 1 refused, nothing
changed, 5 rolled back, 6 an operator must decide";
pub(crate) const RETRY: &str = "\
Example: keyroll retry
Exit codes: 0 done, 4 paused, 5 rolled back, 6 an operator must decide,
130 interrupted";
pub(crate) const UNDO: &str = "\
Example: keyroll undo
Exit codes: 0 completed forward because the old key is dead, 1 refused, nothing
changed, 5 rolled back, 6 an operator must decide";
pub(crate) const ADOPT: &str = "\
Example: keyroll consumer adopt 4711 --name mailer --restart ./restart.sh \\
           --pid-file ./mailer.pid --check \"./probe.sh {copy}\"
         keyroll consumer adopt web-2:4711 --name mailer --unit mailer.service \\
           --env-file /srv/mailer.env --variable KEY --check \"./probe.sh {copy}\"
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const CORRECT: &str = "\
Example: keyroll consumer correct mailer
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const LET_GO: &str = "\
Example: keyroll consumer let-go mailer --reason \"its service was removed\"
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const ACCEPT_FILE: &str = "\
Example: keyroll consumer accept-file ./api.env --reason \"edited by hand, it has the new key\"
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const WAIVE: &str = "\
Example: keyroll consumer waive 4711 --reason \"ends tonight\"
         keyroll consumer waive ./old.env --withdraw
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const WAIVERS: &str = "\
Example: keyroll consumer waivers
Exit codes: 0 done, 1 failed, 2 usage";
pub(crate) const CHECK_ADAPTER: &str = "\
Example: keyroll consumer check-adapter --apply -- ./adapter
Exit codes: 0 the adapter keeps every rule, 2 usage, 3 it breaks a rule";
pub(crate) const VERIFY: &str = "\
Example: keyroll verify openrouter
Exit codes: 0 as expected, 1 failed, 3 a version is alive or dead unexpectedly";
pub(crate) const REVOKE: &str = "\
Example: keyroll revoke openrouter --version previous
Exit codes: 0 dead, 1 refused, nothing changed, 6 an operator must decide";
pub(crate) const EMERGENCY: &str = "\
Example: keyroll emergency anthropic --value-file ./new.key
Exit codes: 0 done, 1 nothing changed, 2 usage, 6 an operator must decide (also:
every consumer has moved, and the old key waits for your consent), 7 another
rotation is in the way, 130 paused by a signal";
pub(crate) const INCIDENT_OPEN: &str = "\
Example: keyroll incident open --from trufflehog < found.jsonl
Exit codes: 0 opened, or nothing leaked, 1 failed, 2 usage; with --act as emergency";
pub(crate) const INCIDENT_LIST: &str = "\
Example: keyroll incident list
Exit codes: 0 none is open, 1 failed, 3 some are open";
pub(crate) const INCIDENT_ASSESS: &str = "\
Example: keyroll incident assess
Exit codes: 0 done, 1 failed, 2 usage";
pub(crate) const INCIDENT_CONTAIN: &str = "\
Example: keyroll incident contain 3f9c21d04a --roll-first
Exit codes: 0 the leaked key is dead, 1 refused, nothing changed, 2 usage, 4 paused,
5 rolled back, 6 an operator must decide, 7 another rotation is in the way, 130
interrupted";
pub(crate) const INCIDENT_REPORT: &str = "\
Example: keyroll incident report 3f9c21d04a > incident.md
Exit codes: 0 done, 1 failed, 2 usage";
pub(crate) const INCIDENT_CLOSE: &str = "\
Example: keyroll incident close 3f9c21d04a --because \"a test key\"
Exit codes: 0 done, 1 failed, 2 usage";
pub(crate) const INCIDENT_REOPEN: &str = "\
Example: keyroll incident reopen 3f9c21d04a
Exit codes: 0 done, 1 failed, 2 usage";
pub(crate) const RUNBOOK: &str = "\
Example: keyroll runbook anthropic
Exit codes: 0 done, 1 failed";
pub(crate) const SERVE: &str = "\
Example: keyroll serve --unit | sudo tee /etc/systemd/system/keyroll.service
         keyroll serve --alert-rules > keyroll-rules.yml
Exit codes: 0 ended by SIGTERM or Ctrl-C, 1 not started, 7 another server runs";
pub(crate) const TOKEN_NEW: &str = "\
Example: keyroll token new ada --out ada.token
         keyroll token new prometheus --role viewer --out prometheus.token
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const NOTICE_TEST: &str = "\
Example: keyroll notice test oncall
Exit codes: 0 every recipient took it, 1 one of them did not, 2 usage";
pub(crate) const TOKEN_LIST: &str = "Example: keyroll token list\nExit codes: 0 done, 1 failed";
pub(crate) const TOKEN_REVOKE: &str = "\
Example: keyroll token revoke ada
Exit codes: 0 done, 1 refused, nothing changed";
pub(crate) const SCHEMA: &str = "Example: keyroll schema > keyroll.schema.json\nExit codes: 0 done";
pub(crate) const HISTORY: &str = "Example: keyroll history openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const AUDIT: &str = "Example: keyroll audit openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const COMPLETION: &str = "\
Example: keyroll completion bash > /etc/bash_completion.d/keyroll
Exit codes: 0 done, 2 usage";
pub(crate) const MAN: &str = "Example: keyroll man apply | man -l -\nExit codes: 0 done, 2 usage";
pub(crate) const DUE: &str = "\
Example: keyroll due --apply
Exit codes: 0 nothing is due, or all of it was rotated, 1 failed, 3 something is
due, 4 paused, 5 rolled back, 6 an operator must decide, 7 a rotation is being
driven, 130 interrupted";

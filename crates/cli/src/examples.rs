//! What stands at the end of each command's help: one example, and the exit codes that it can end with.

pub(crate) const DEMO: &str = "Example: keyroll demo\nExit codes: 0 done, 1 failed, 130 interrupted";
pub(crate) const SCAN: &str = "Example: keyroll scan\nExit codes: 0 done, 1 failed";
pub(crate) const WHY: &str = "Example: keyroll why openai\nExit codes: 0 done, 1 failed";
pub(crate) const TRACE: &str = "Example: keyroll trace openai\nExit codes: 0 done, 1 failed";
pub(crate) const GRAPH: &str =
    "Example: keyroll graph openai --format svg > openai.svg\nExit codes: 0 done, 1 failed";
pub(crate) const LEAKS: &str = "\
Example: keyroll leaks src
Exit codes: 0 nothing is open, 1 failed, 3 findings";
pub(crate) const PRINTS: &str = "\
Example: keyroll prints --out keyroll.prints
Exit codes: 0 done, 1 failed, 3 some values are left out";
pub(crate) const REDACT: &str = "\
Not replaced: what only its name or its place tells (password=…), and what only
a file of prints knows. Both take more of a text than a stream may hold back;
keyroll leaks finds them.

Example: keyroll redact app.log > report.txt
Exit codes: 0 done, 1 failed";
pub(crate) const RUN: &str = "\
Not replaced: what only its name or its place tells (password=…), and what only
a file of prints knows; as with keyroll redact. Values that are added to the
store while the program runs are replaced from then on.

TERM, HUP, INT, QUIT, USR1, USR2 and WINCH are sent on to the program, unless
they were ignored when keyroll was started; INT, QUIT and WINCH not where a
terminal sent them, which tells both. What a process sends to both reaches the
program twice: under systemd set KillMode=mixed.

Once the program has ended, TERM, HUP, INT or QUIT ends keyroll, whoever still
holds its output. Where nobody takes what keyroll writes, it takes another one,
a second later: how many bytes were lost is told.

Example: keyroll run -- ./deploy.sh --verbose
Exit codes: those of the program; 128 and its number where a signal ended it;
not 0 where not all that it wrote could be shown, or the store could not be read
while it ran";
pub(crate) const INIT: &str = "\
Example: keyroll init --dry-run
Exit codes: 0 done, 1 failed, nothing changed";
pub(crate) const DOCTOR: &str =
    "Example: keyroll doctor\nExit codes: 0 nothing is in the way, 3 findings, 6 needs a person";
pub(crate) const SECRET_ADD: &str = "\
Example: keyroll secret add openrouter --id KEY_ID < value.txt
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 7 a rotation has it";
pub(crate) const SECRET_IMPORT: &str = "\
Example: keyroll secret import openrouter
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 3 some were not taken in";
pub(crate) const SECRET_REWRAP: &str = "\
Example: keyroll secret rewrap --to credential:keyroll
Exit codes: 0 done, 1 refused, nothing changed, 2 usage, 6 needs a person, 7 held by
a driver";
pub(crate) const SECRET_LIST: &str = "Example: keyroll secret list\nExit codes: 0 done, 1 failed";
pub(crate) const SECRET_SHOW: &str = "Example: keyroll secret show openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const ISSUERS_LIST: &str = "Example: keyroll issuers list\nExit codes: 0 done, 1 failed";
pub(crate) const ISSUERS_SHOW: &str =
    "Example: keyroll issuers show openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const PLAN: &str = "\
Example: keyroll plan openrouter
Exit codes: 0 saved, 1 refused, nothing changed, 6 needs a person, 7 a rotation of
it is open";
pub(crate) const SPLIT: &str = "\
Example: keyroll split openrouter
Exit codes: 0 saved, 1 refused, nothing changed, 2 usage, 6 needs a person, 7 a
rotation of it is open";
pub(crate) const APPLY: &str = "\
Example: keyroll apply PLAN_ID --confirm=openrouter
Exit codes: 0 done, 1 nothing changed, 4 paused, 5 rolled back, 6 needs a person,
7 another rotation holds the secret, 130 paused by a signal";
pub(crate) const RESUME: &str = "\
Example: keyroll resume --confirm=openrouter
Exit codes: 0 done, 1 nothing changed, 4 paused, 5 rolled back, 6 needs a person,
130 paused by a signal";
pub(crate) const PAUSE: &str = "Example: keyroll pause\nExit codes: 1 failed, 4 paused";
pub(crate) const STATUS: &str = "\
Example: keyroll status
Exit codes: 0 nothing to do, 4 paused or no driver, 6 needs a person";
pub(crate) const ABORT: &str = "\
Example: keyroll abort
Exit codes: 0 went forward, since the old key is dead, 1 refused or nothing was
changed, 5 rolled back, 6 needs a person";
pub(crate) const RETRY: &str = "\
Example: keyroll retry
Exit codes: 0 done, 4 paused, 5 rolled back, 6 needs a person, 130 interrupted";
pub(crate) const UNDO: &str = "\
Example: keyroll undo
Exit codes: 0 went forward, since the old key is dead, 1 refused or nothing was
changed, 5 rolled back, 6 needs a person";
pub(crate) const ADOPT: &str = "\
Example: keyroll consumer adopt 4711 --name mailer --restart ./restart.sh \\
           --pid-file ./mailer.pid --check \"./probe.sh {copy}\"
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const WAIVE: &str = "\
Example: keyroll consumer waive 4711 --reason \"ends tonight\"
Exit codes: 0 done, 1 refused, nothing changed, 2 usage";
pub(crate) const CHECK_ADAPTER: &str = "\
Example: keyroll consumer check-adapter --apply -- ./adapter
Exit codes: 0 every rule is kept, 2 usage, 3 a rule is broken";
pub(crate) const VERIFY: &str = "\
Example: keyroll verify openrouter
Exit codes: 0 as it should be, 1 failed, 3 a version is not as it should be";
pub(crate) const REVOKE: &str = "\
Example: keyroll revoke openrouter --version previous
Exit codes: 0 dead, 1 refused, nothing changed, 6 needs a person";
pub(crate) const SCHEMA: &str = "Example: keyroll schema > keyroll.schema.json\nExit codes: 0 done";
pub(crate) const HISTORY: &str = "Example: keyroll history openrouter\nExit codes: 0 done, 1 failed";
pub(crate) const COMPLETION: &str = "\
Example: keyroll completion bash > /etc/bash_completion.d/keyroll
Exit codes: 0 done, 2 usage";
pub(crate) const MAN: &str = "Example: keyroll man apply | man -l -\nExit codes: 0 done, 2 usage";
pub(crate) const DUE: &str = "\
Example: keyroll due --apply
Exit codes: 0 nothing is due, or all of it done, 1 failed, 3 something is due,
4 paused, 5 rolled back, 6 needs a person, 7 a rotation is being driven,
130 interrupted";

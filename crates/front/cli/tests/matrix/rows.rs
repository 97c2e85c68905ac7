//! The rows: how each service is configured, started, restarted or reloaded, and ended. In every text `@DIR@` is the
//! scene's folder, `@PORT1@` and `@PORT2@` are the addresses of its instances, and `@SERVE@` is the part of a service.

use keyroll_manager::{Notice, ServiceFact, manager_facts};

/// Where a service and keyroll run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Here,
    /// Here, beside an engine of containers.
    Engine,
    /// In a host with systemd as its first process.
    Host,
}

/// One row; its name is the one in `manager_facts`.
pub struct Row {
    pub name: &'static str,
    pub at: At,
    /// Two instances behind a front.
    pub two: bool,
    pub runs: &'static str,
    pub reads: &'static str,
    /// More lines of the consumer's table.
    pub more: &'static str,
    /// Brings it up. `bot.env` is there.
    pub start: &'static str,
    /// Changes its output as soon as the service is being restarted or reloaded.
    pub told: &'static str,
    pub stop: &'static str,
    /// Runs the command that seems to apply a value; fails if it does apply one. Leaves everything unchanged.
    pub trap: &'static str,
    /// Runs the job once, if nothing else starts it.
    pub job: &'static str,
}

impl Row {
    /// The row's text on the page.
    pub fn fact(&self) -> ServiceFact {
        let mut all = manager_facts().flat_map(|fact| fact.services);
        *all.find(|one| one.name == self.name).unwrap_or_else(|| panic!("{} is not in the page", self.name))
    }

    pub fn notice(&self) -> Notice {
        self.fact().notice
    }

    /// The consumer's table.
    pub fn consumer(&self) -> String {
        let Self { runs, reads, more, .. } = self;
        let log = "log = { file = \"./log/refused\", failure = \"was refused\" }";
        let table = format!("name = \"bot\"\nruns = {{ {runs} }}\nreads = {reads}\n{more}{log}\n");
        format!("[[secrets.ring.consumers]]\n{}", table.replace("@READY@", READY))
    }
}

const NONE: Row = Row {
    name: "",
    at: At::Here,
    two: false,
    runs: "",
    reads: "{ env_file = \"./bot.env\", variable = \"KEY\" }",
    more: "",
    start: "",
    told: "",
    stop: "",
    trap: "",
    job: "true",
};

/// Starts an instance by its number and port; a third word says how it takes a new value. Only one at a time: it waits
/// for a run that a dead driver left, and for a service that was started and has not written its pid file.
macro_rules! script {
    ($calls:literal) => {
        concat!(
            "cat >bot.sh <<'END'\n#!/bin/sh\nset -eu\ncd @DIR@\nexec 9>run/bot-$1.lock\nflock 9\n",
            "for file in run/bot-$1.pid run/bot-$1.starting; do\n  [ -e \"$file\" ] || continue\n  pid=$(cat \"$file\")\n",
            "  kill -TERM \"$pid\" 2>/dev/null || true\n",
            "  while kill -0 \"$pid\" 2>/dev/null && ! grep -q '^State:.Z' \"/proc/$pid/status\" 2>/dev/null; do sleep 0.02; done\n",
            "  rm -f \"$file\"\ndone\n",
            "KEYROLL_TEST_PART=\"@SERVE@ port=$2 copy=@DIR@/bot.env takes=${3:-start} pid_file=@DIR@/run/bot-$1.pid\" NAME=$1 \\\n",
            "    setsid sh -c 'echo $$ >run/bot-$NAME.starting; exec 9>&-; exec @PROGRAM@ matrix::part --exact --nocapture' \\\n",
            "    </dev/null >/dev/null 2>&1 &\n",
            "while [ ! -e run/bot-$1.pid ]; do sleep 0.02; done\nrm -f run/bot-$1.starting\nEND\nchmod 755 bot.sh\n",
            $calls
        )
    };
}

const STOP_PROCESSES: &str = "for file in run/bot-*.pid; do kill -TERM $(cat $file); done";

/// A supervisord with one program, and another beside it.
macro_rules! supervisord {
    ($environment:literal, $words:literal) => {
        concat!(
            "cat >supervisord.conf <<END\n[supervisord]\nlogfile=@DIR@/run/s.log\npidfile=@DIR@/run/supervisord\n",
            "[unix_http_server]\nfile=@DIR@/run/s.sock\n[rpcinterface:supervisor]\n",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
            "[supervisorctl]\nserverurl=unix://@DIR@/run/s.sock\n",
            "[program:bot]\ncommand=@PROGRAM@ matrix::part --exact --nocapture\n",
            "environment=",
            $environment,
            "KEYROLL_TEST_PART=\"@SERVE@ port=@PORT1@ ",
            $words,
            "\"\nstartsecs=2\nstdout_logfile=NONE\nstderr_logfile=NONE\nEND\n",
            "supervisord -c supervisord.conf\n"
        )
    };
}

const SUPERVISOR_TOLD: &str = "supervisorctl -c supervisord.conf pid bot";
const SUPERVISOR_STOP: &str = "supervisorctl -c supervisord.conf shutdown; \
                               while [ -e run/supervisord ]; do sleep 0.05; done";

/// Workers of gunicorn, with more words.
macro_rules! gunicorn {
    ($words:literal) => {
        concat!(
            "cat >app.py <<'END'\n",
            include_str!("app.py"),
            "END\nWORDS='@WORDS@' gunicorn --daemon --workers 2 --pid run/master --bind 127.0.0.1:@PORT1@ ",
            "--log-file run/gunicorn.log ",
            $words,
            "app:wsgi\nwhile [ ! -e run/master ]; do sleep 0.05; done\npid=$(cat run/master)\n",
            // One worker answers before the other is forked, and a plan counts both.
            "while [ $(wc -w </proc/$pid/task/$pid/children) != 2 ]; do sleep 0.05; done"
        )
    };
}

const CHILDREN: &str = "pid=$(cat run/master); cat /proc/$pid/task/$pid/children";
const STOP_MASTER: &str = "pid=$(cat run/master); kill $pid; while [ -e /proc/$pid ]; do sleep 0.05; done";

/// A job that calls once and records the result, and what starts it.
macro_rules! job {
    ($($starts:literal),*) => {
        concat!(
            "cat >job.sh <<'END'\n#!/bin/sh\ncd @DIR@\n",
            "KEYROLL_TEST_PART=\"try @WORDS@ variable=KEY copy=@DIR@/bot.env\" @PROGRAM@ matrix::part --exact >/dev/null 2>&1\n",
            "echo $? >>run/jobs\nEND\n",
            "cat >check.sh <<'END'\n#!/bin/sh\n",
            "KEYROLL_TEST_PART=\"try @WORDS@ name=try variable=$1 copy=$2\" exec @PROGRAM@ matrix::part --exact >/dev/null 2>&1\nEND\n",
            "chmod 755 job.sh check.sh\n",
            $($starts),*
        )
    };
}

const CHECK: &str = "check = { exec = [\"./check.sh\", \"KEY\", \"{copy}\"] }\n";

const COPY_TOLD: &str = "stat -c %i bot.env";

macro_rules! compose {
    ($services:literal) => {
        concat!(
            "mkdir shop; cp -p bot.env shop/\ncat >shop/compose.yaml <<'END'\nx-bot: &bot\n  image: @IMAGE@\n",
            "  network_mode: host\n  env_file: [bot.env]\n  command: [\"@PROGRAM@\", \"matrix::part\", \"--exact\", \"--nocapture\"]\n",
            "  volumes: [\"/usr:/usr:ro\", \"@TARGET@:@TARGET@:ro\", \"@DIR@/log:@DIR@/log\"]\nservices:\n",
            $services,
            "END\nrm bot.env; cd shop; docker compose up --detach"
        )
    };
}

/// `docker run`, with more words.
macro_rules! docker_run {
    ($words:literal, $part:literal) => {
        concat!(
            "docker run --detach --name bot --network host --volume /usr:/usr:ro --volume @TARGET@:@TARGET@:ro \\\n",
            "  --volume @DIR@/log:@DIR@/log --env \"KEYROLL_TEST_PART=@SERVE@ port=@PORT1@ ",
            $part,
            "\" ",
            $words,
            " @IMAGE@ @PROGRAM@ matrix::part --exact --nocapture >/dev/null\n"
        )
    };
}

const CONTAINER_TOLD: &str = "docker inspect --format '{{.Id}} {{.State.StartedAt}}' bot";

/// A unit that serves, with more lines, and what starts it.
macro_rules! unit {
    ($part:literal, $lines:literal, $starts:literal) => {
        concat!(
            "cat >bot.service <<'END'\n[Service]\nEnvironment=\"KEYROLL_TEST_PART=@SERVE@ port=@PORT1@ ",
            $part,
            "\"\nExecStart=@PROGRAM@ matrix::part --exact --nocapture\nExecReload=/bin/true\n",
            $lines,
            "END\n",
            $starts
        )
    };
}

const MAIN_PID: &str = "systemctl show -P MainPID bot.service";

const PM2: &str = r#"mkdir -m 700 pm2
cat >ecosystem.config.js <<'END'
const lines = require('fs').readFileSync(__dirname + '/bot.env', 'utf8').split('\n').filter(line => line.includes('='));
const env = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
module.exports = { apps: [{ name: 'bot', script: '@PROGRAM@', args: 'matrix::part --exact --nocapture', interpreter: 'none',
  env: { ...env, KEYROLL_TEST_PART: '@SERVE@ port=@PORT1@ environment=KEY' }, out_file: '/dev/null', error_file: '/dev/null' }] };
END
pm2 start ecosystem.config.js >/dev/null
pm2 save >/dev/null
"#;

const READY: &str = "http://127.0.0.1:@PORT1@/ready";

pub const ROWS: &[Row] = &[
    Row {
        name: "restart-two",
        two: true,
        runs: "restart = [\"./bot.sh\", \"{instance}\", \"{port}\"], pid_file = \"./run/bot-{instance}.pid\", \
               instances = [\"1\", \"2\"], ports = [@PORT1@, @PORT2@], ready = \"http://127.0.0.1:{port}/ready\"",
        start: script!("./bot.sh 1 @PORT1@; ./bot.sh 2 @PORT2@"),
        told: "cat run/bot-1.pid",
        stop: STOP_PROCESSES,
        ..NONE
    },
    Row {
        name: "restart-one",
        runs: "restart = [\"./bot.sh\", \"1\", \"@PORT1@\"], pid_file = \"./run/bot-1.pid\", ready = \"@READY@\"",
        start: script!("./bot.sh 1 @PORT1@"),
        told: "cat run/bot-1.pid",
        stop: STOP_PROCESSES,
        ..NONE
    },
    Row {
        name: "signal",
        runs: "signal = \"HUP\", pid_file = \"./run/bot-1.pid\"",
        start: script!("./bot.sh 1 @PORT1@ HUP"),
        told: "cat run/taken",
        stop: STOP_PROCESSES,
        ..NONE
    },
    Row {
        name: "rereads",
        runs: "rereads = true, pid_file = \"./run/bot-1.pid\"",
        start: script!("./bot.sh 1 @PORT1@ change"),
        told: "cat run/taken",
        stop: STOP_PROCESSES,
        ..NONE
    },
    Row {
        name: "supervisor-environment",
        runs: "supervisor = \"bot\", config = \"./supervisord.conf\", ready = \"@READY@\"",
        reads: "{ file = \"./supervisord.conf\", template = 'KEY=\"{value}\"' }",
        start: concat!("rm bot.env\n", supervisord!("KEY=\"$value\",", "environment=KEY")),
        told: SUPERVISOR_TOLD,
        stop: SUPERVISOR_STOP,
        ..NONE
    },
    Row {
        name: "supervisor-file",
        runs: "supervisor = \"bot\", config = \"./supervisord.conf\", ready = \"@READY@\"",
        start: supervisord!("", "copy=@DIR@/bot.env"),
        told: SUPERVISOR_TOLD,
        stop: SUPERVISOR_STOP,
        ..NONE
    },
    Row {
        name: "runit",
        runs: "runit = \"./service\", ready = \"@READY@\"",
        start: concat!(
            "mkdir service\ncat >service/run <<'END'\n#!/bin/sh\n",
            "export KEYROLL_TEST_PART=\"@SERVE@ port=@PORT1@ copy=@DIR@/bot.env\"\n",
            "exec @PROGRAM@ matrix::part --exact --nocapture >/dev/null 2>&1\nEND\nchmod 755 service/run\n",
            "setsid runsv service </dev/null >/dev/null 2>&1 &\n",
            "until sv status ./service | grep -q ^run; do sleep 0.05; done"
        ),
        told: "cat service/supervise/pid",
        stop: "sv force-shutdown ./service >/dev/null",
        ..NONE
    },
    Row {
        name: "pm2",
        runs: "pm2 = \"./ecosystem.config.js\", app = \"bot\", home = \"./pm2\", ready = \"@READY@\"",
        start: PM2,
        told: "pm2 pid bot",
        stop: "pm2 kill",
        ..NONE
    },
    Row {
        name: "gunicorn-hup",
        runs: "master = \"./run/master\", reload = \"HUP\"",
        start: gunicorn!(""),
        told: CHILDREN,
        stop: STOP_MASTER,
        ..NONE
    },
    Row {
        name: "gunicorn-workers",
        runs: "master = \"./run/master\", reload = \"workers\"",
        start: gunicorn!(""),
        told: CHILDREN,
        stop: STOP_MASTER,
        ..NONE
    },
    Row {
        name: "gunicorn-ttin",
        runs: "master = \"./run/master\", reload = \"TTIN\"",
        start: gunicorn!(""),
        told: CHILDREN,
        stop: STOP_MASTER,
        ..NONE
    },
    Row {
        name: "prefork-usr2",
        runs: "master = \"./run/master\", reload = \"USR2\"",
        start: concat!(
            "cat >app.py <<'END'\n",
            include_str!("app.py"),
            "END\ncat >prefork.py <<'END'\n",
            include_str!("prefork.py"),
            "END\nWORDS='@WORDS@' setsid python3 prefork.py @PORT1@ </dev/null >run/master.log 2>&1 &\n",
            "while [ ! -e run/master ]; do sleep 0.05; done"
        ),
        told: CHILDREN,
        stop: STOP_MASTER,
        ..NONE
    },
    Row {
        name: "uvicorn-hup",
        runs: "master = \"./run/master\"",
        start: concat!(
            "cat >app.py <<'END'\n",
            include_str!("app.py"),
            "END\nWORDS='@WORDS@' setsid uvicorn app:asgi --workers 2 --lifespan off --host 127.0.0.1 --port @PORT1@ ",
            "--no-access-log </dev/null >run/uvicorn.log 2>&1 &\necho $! >run/master"
        ),
        told: CHILDREN,
        stop: STOP_MASTER,
        ..NONE
    },
    Row {
        name: "exec",
        runs: "exec = [\"./adapter\"], ready = \"@READY@\"",
        start: concat!(
            "cat >service.sh <<'END'\n#!/bin/sh\nKEYROLL_TEST_PART=\"@SERVE@ port=@PORT1@ copy=@DIR@/bot.env\" ",
            "exec @PROGRAM@ matrix::part --exact --nocapture\nEND\ncat >adapter <<'END'\n",
            include_str!("../managers/adapter.py"),
            "END\nchmod 755 adapter service.sh\n./adapter start </dev/null"
        ),
        told: "cat run/adapter",
        stop: "kill -KILL $(cat run/adapter)",
        ..NONE
    },
    Row {
        name: "cron",
        runs: "cron = \"./jobs\"",
        more: CHECK,
        start: job!(
            "printf '# nightly\\n* * * * * root @DIR@/job.sh\\n' >jobs\ncat >crond.sh <<'END'\n#!/bin/sh\n",
            "# As cron does: the rest of the line, behind its times and its user, is one word for a shell.\n",
            "while :; do\n  grep -v '^#' @DIR@/jobs | while read -r _ _ _ _ _ user command; do\n",
            "    /bin/sh -c \"$command\"\n  done\n  sleep 3\ndone\nEND\nchmod 755 crond.sh\n",
            "setsid ./crond.sh </dev/null >/dev/null 2>&1 &\necho $! >run/crond"
        ),
        told: COPY_TOLD,
        stop: "kill $(cat run/crond)",
        ..NONE
    },
    Row {
        name: "at-rest",
        runs: "at_rest = true",
        more: CHECK,
        start: job!(""),
        told: COPY_TOLD,
        job: "./job.sh",
        ..NONE
    },
    Row {
        name: "compose-two",
        at: At::Engine,
        two: true,
        runs: "compose = \"./shop\", service = \"bot-{instance}\", instances = [\"1\", \"2\"], \
               ports = [@PORT1@, @PORT2@], ready = \"http://127.0.0.1:{port}/ready\"",
        reads: "{ env_file = \"./shop/bot.env\", variable = \"KEY\" }",
        start: compose!(
            "  bot-1:\n    <<: *bot\n    environment: { KEYROLL_TEST_PART: \"@SERVE@ port=@PORT1@ environment=KEY\" }\n\
             \x20 bot-2:\n    <<: *bot\n    environment: { KEYROLL_TEST_PART: \"@SERVE@ port=@PORT2@ environment=KEY\" }\n"
        ),
        told: "docker inspect --format '{{.Id}}' shop-bot-1-1",
        ..NONE
    },
    Row {
        name: "compose-one",
        at: At::Engine,
        runs: "compose = \"./shop\", service = \"bot\", ready = \"@READY@\"",
        reads: "{ env_file = \"./shop/bot.env\", variable = \"KEY\" }",
        start: compose!(
            "  bot:\n    <<: *bot\n    environment: { KEYROLL_TEST_PART: \"@SERVE@ port=@PORT1@ environment=KEY\" }\n"
        ),
        told: "docker inspect --format '{{.Id}}' shop-bot-1",
        ..NONE
    },
    Row {
        name: "container-file",
        at: At::Engine,
        runs: "container = \"bot\", ready = \"@READY@\"",
        reads: "{ file = \"./key\" }",
        start: concat!(
            "printf '%s' \"$value\" >key; chmod 600 key; rm bot.env\n",
            docker_run!("--volume @DIR@/key:/own/key:ro", "copy=/own/key")
        ),
        told: CONTAINER_TOLD,
        ..NONE
    },
    Row {
        name: "container-environment",
        at: At::Engine,
        runs: "container = \"bot\", restart = [\"./make.sh\"], ready = \"@READY@\"",
        start: concat!(
            "cat >make.sh <<'END'\n#!/bin/sh\nset -eu\ncd @DIR@\n",
            "export DOCKER_HOST=@ENGINE@\nif docker inspect bot >/dev/null 2>&1; then docker rm --force bot >/dev/null; fi\n",
            docker_run!("--env-file @DIR@/bot.env", "environment=KEY"),
            "END\nchmod 755 make.sh; ./make.sh"
        ),
        told: CONTAINER_TOLD,
        ..NONE
    },
    Row {
        name: "unit-environment",
        at: At::Host,
        runs: "unit = \"bot.service\", ready = \"@READY@\"",
        start: unit!(
            "environment=KEY",
            "EnvironmentFile=@DIR@/bot.env\n",
            "cp bot.service /etc/systemd/system/; systemctl daemon-reload; systemctl start bot.service"
        ),
        told: MAIN_PID,
        trap: "cp -p bot.env kept; sed -i 's/^KEY=.*/KEY=wrong/' bot.env; systemctl reload bot.service\n\
               if tr '\\0' '\\n' </proc/$(systemctl show -P MainPID bot.service)/environ | grep -qx KEY=wrong; then exit 1; fi\n\
               mv kept bot.env",
        ..NONE
    },
    Row {
        name: "unit-credential",
        at: At::Host,
        runs: "unit = \"bot.service\", ready = \"@READY@\"",
        reads: "{ file = \"./cred/key\" }",
        start: unit!(
            "copy=/run/credentials/bot.service/key",
            "LoadCredential=key:@DIR@/cred/key\n",
            "mkdir cred; printf '%s' \"$value\" >cred/key; chmod 600 cred/key; rm bot.env\n\
             cp bot.service /etc/systemd/system/; systemctl daemon-reload; systemctl start bot.service"
        ),
        told: MAIN_PID,
        trap: "cp -p cred/key cred/kept; echo wrong >cred/key; systemctl reload bot.service\n\
               if grep -q wrong /run/credentials/bot.service/key; then exit 1; fi\nmv cred/kept cred/key",
        ..NONE
    },
    Row {
        name: "unit-user",
        at: At::Host,
        runs: "unit = \"bot.service\", user = \"deploy\", ready = \"@READY@\"",
        start: unit!(
            "environment=KEY",
            "EnvironmentFile=@DIR@/bot.env\n",
            "chmod 755 .. .; chmod 666 log/refused; chown deploy bot.env\n\
             install -D -o deploy -m 644 bot.service /home/deploy/.config/systemd/user/bot.service\n\
             chown -R deploy /home/deploy/.config; loginctl enable-linger deploy; uid=$(id -u deploy)\n\
             until [ -S /run/user/$uid/bus ]; do sleep 0.05; done\n\
             runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/$uid systemctl --user daemon-reload\n\
             runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/$uid systemctl --user start bot.service"
        ),
        told: "runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/$(id -u deploy) \
               systemctl --user show -P MainPID bot.service",
        ..NONE
    },
    Row {
        name: "timer",
        at: At::Host,
        runs: "timer = \"bot.timer\"",
        more: CHECK,
        start: job!(
            "printf '[Service]\\nType=oneshot\\nExecStart=@DIR@/job.sh\\n' >/etc/systemd/system/bot.service\n",
            "printf '[Timer]\\nOnActiveSec=1\\nOnUnitInactiveSec=3\\nAccuracySec=100ms\\n' >/etc/systemd/system/bot.timer\n",
            "systemctl daemon-reload; systemctl start bot.timer"
        ),
        told: COPY_TOLD,
        ..NONE
    },
];

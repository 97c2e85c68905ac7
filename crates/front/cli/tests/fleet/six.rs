//! Six hosts behind HAProxy are moved while clients call all the time. The unit of an instance takes it out of the balancer
//! before it ends, and puts it in again when it answers: so no call is lost by a restart.

mod clients;

use keyroll_testkit::free_port;
use zeroize::Zeroizing;

use self::clients::Clients;
use super::desk::Desk;

/// The hosts that have an instance, in the order in which they are moved.
const HOSTS: [&str; 6] = ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"];

/// What keyroll.toml has besides the hosts.
const CONFIG: &str = include_str!("six/keyroll.toml");

/// The balancer's configuration up to its instances, and its unit. It runs on `desk`; all hosts share loopback.
const BALANCER: &str = include_str!("six/haproxy.cfg");
const BALANCER_UNIT: &str = include_str!("six/balancer.service");

/// The files of a host, with the placeholders that differ.
const FILES: [(&str, &str, u32); 4] = [
    ("service.py", include_str!("six/service.py"), 0o755),
    ("turn.py", include_str!("six/turn.py"), 0o755),
    ("check.py", include_str!("recipe/check.py"), 0o755),
    ("api.service", include_str!("six/api.service"), 0o644),
];

/// Prints the key of a host's file.
const HELD: &str = "sed -n 's/^ORDERS_KEY=//p' /srv/app/api.env";

/// Prints the key with which a host's service runs.
const RUNS_WITH: &str = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID api)/environ | \
    sed -n 's/^ORDERS_KEY=//p'";

/// How many calls are answered before the plan, and after the end.
const CALLS_MIN: usize = 1_000;

/// How many calls a second the clients are to make.
const RATE_MIN: f64 = 300.0;

struct Six {
    desk: Desk,
    /// The port of the balancer.
    front: u16,
}

impl Six {
    /// Six hosts with an instance each behind the balancer, and `desk`, which has the key.
    fn raise() -> Option<Self> {
        let desk = Desk::raise("six hosts under load", &HOSTS, CONFIG)?;
        let [front, admin] = [(); 2].map(|()| free_port().unwrap());
        let ports = HOSTS.map(|_| free_port().unwrap());
        let servers = HOSTS.iter().zip(ports);
        let servers: String =
            servers.map(|(host, port)| format!("    server {host} 127.0.0.1:{port} check\n")).collect();
        let config = BALANCER.replace("@FRONT@", &front.to_string()).replace("@ADMIN@", &admin.to_string());
        desk.fleet.run(
            "desk",
            &format!(
                "mkdir -p /srv/balancer; cat >/srv/balancer/haproxy.cfg <<'.'\n{config}{servers}.\n\
                 cat >/etc/systemd/system/balancer.service <<'.'\n{BALANCER_UNIT}.\n\
                 systemctl daemon-reload; systemctl start balancer"
            ),
        );
        let issuer = desk.issuer.port().to_string();
        for (host, port) in HOSTS.into_iter().zip(ports) {
            let filled = |text: &str| {
                text.replace("@HOST@", host)
                    .replace("@PORT@", &port.to_string())
                    .replace("@ADMIN@", &admin.to_string())
                    .replace("@ISSUER@", &issuer)
            };
            let files = FILES.map(|(name, text, mode)| (name, filled(text), mode));
            desk.serve(host, &files, "systemctl start api; ./check.py api.env");
        }
        desk.begin();
        Some(Self { desk, front })
    }

    /// What a script prints on each host, in the order of the hosts.
    fn each<T>(&self, script: &str, read: impl Fn(String) -> T) -> [T; 6] {
        HOSTS.map(|host| read(self.desk.fleet.run(host, script)))
    }

    /// Which keys a script prints on the hosts.
    fn keys(&self, script: &str) -> [Option<String>; 6] {
        self.each(script, |value| self.desk.issuer.whose(Zeroizing::new(value).as_bytes()))
    }

    /// When the instances were started last, microseconds of the kernel that all hosts share.
    fn started(&self) -> [u64; 6] {
        self.each("systemctl show -P ExecMainStartTimestampMonotonic api", |text| text.parse().unwrap())
    }
}

#[test]
fn six_hosts_are_moved_one_after_the_other_under_load_and_no_call_fails() {
    let Some(six) = Six::raise() else { return };
    let Six { desk, front } = &six;
    let before = six.started();
    desk.issuer.keep_calls();
    let clients = Clients::start(*front);
    clients.await_calls(CALLS_MIN);
    let id = desk.keyroll(&["plan", "orders"]).exits(0).plan();
    let applied = desk.keyroll(&["apply", &id, "--confirm", "orders"]);
    applied.exits(0).ended("done");
    assert_eq!(applied.summary()["dead_confirmed"], true, "{}", applied.text);
    clients.await_calls(CALLS_MIN);
    let tally = clients.stop();
    let (calls, failed, rate) = (tally.calls(), tally.failed.len(), tally.rate());
    println!("{calls} calls in {:.0} s, {rate:.0} a second: {failed} failed", tally.elapsed.as_secs_f64());
    if rate < RATE_MIN {
        println!("this machine was too busy for {RATE_MIN} calls a second");
    }
    let first: Vec<_> = tally.failed.iter().take(5).collect();
    assert_eq!(failed, 0, "of {calls} calls: {first:?}");
    assert_eq!(tally.answered.keys().collect::<Vec<_>>(), HOSTS.iter().collect::<Vec<_>>());

    let keys = desk.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id != desk.old && !keys[0].disabled, "{keys:?}");
    let new = &keys[0].id;
    for script in [HELD, RUNS_WITH] {
        assert_eq!(six.keys(script), HOSTS.map(|_| Some(new.clone())), "{script}");
    }
    assert_eq!(desk.issuer.refused_workers(), [] as [String; 0]);

    // The canary first, and then one host after the other; each service once.
    let starts = six.each("wc -l </srv/seen/starts", |text| text);
    assert_eq!(starts, ["2"; 6], "each service was started by the test and restarted once");
    let after = six.started();
    assert!(before.iter().zip(after).all(|(before, after)| *before < after), "{before:?}, {after:?}");
    assert!(after.is_sorted(), "{after:?}");

    // What the issuer saw: each host used the old key, then the new one, in the order of the hosts.
    let calls = desk.issuer.accepted_calls();
    let uses = |host: &str, key: &str| {
        let of = |(worker, used): &&(String, String)| worker == host && used == key;
        let at = calls.iter().enumerate().filter(|(_, call)| of(call)).map(|(at, _)| at);
        let at: Vec<usize> = at.collect();
        (at.first().copied(), at.last().copied())
    };
    let mut moved = None;
    for host in HOSTS {
        let ((_, last_old), (first_new, _)) = (uses(host, &desk.old), uses(host, new));
        assert!(last_old.is_some() && last_old < first_new, "{host}: {last_old:?}, {first_new:?}");
        assert!(moved < first_new, "{host} was moved before the host in front of it");
        moved = first_new;
    }
}

//! The cluster of the scenes whose store is a Secret, in the process outside: who may do what there, what happens to it at a
//! word of a scene, and what keyroll asked of it.

use std::fs;
use std::thread;

use keyroll_testkit::{Kubernetes, TempDir};
use serde_json::Value;

use crate::kill::apart;
use crate::stores::door::{DONE, Door, End, serve};
use crate::stores::needles::needles_of;
use crate::way::listen;

/// Where the token stands in the kubeconfig of a user.
pub const TOKEN: &str = "@TOKEN@";

/// In place of an address of the cluster: requests lead straight to its API server.
pub const NOWHERE: &str = "-";

/// The word to which the answer is how often keyroll has written the Secret.
pub const WRITES: &str = "writes";

/// The cases whose requests lead through the relay, and through `kubectl proxy` behind it. Those of the others are encrypted.
const RELAYED: [&str; 3] = ["kubernetes-killed", "kubernetes-changed", "kubernetes-lost"];

const SECRET: &str = "{apiGroups: [''], resources: [secrets], resourceNames: [acme], verbs: ";

/// The service accounts, with one of the verbs of each.
const ACCOUNTS: [(&str, &str, &str); 3] = [
    ("keyroll", "[get, patch]", "patch"),
    ("reader", "[get]", "get"),
    ("writer", "[get, update, delete]", "delete"),
];

/// Runs a case with a cluster of its own, and searches its log for every value.
pub fn run(name: &str) {
    if !Kubernetes::is_here_or_skip(&format!("a rotation with a Secret of Kubernetes, {name}")) {
        return;
    }
    let mut cluster = Kubernetes::control_plane();
    make_accounts(&cluster);
    let server = match RELAYED.contains(&name) {
        true => format!("127.0.0.1:{}", proxy(&mut cluster, "keyroll")),
        false => NOWHERE.to_owned(),
    };
    let folder = TempDir::new().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, logins(&mut cluster)).unwrap();
    let (listener, port) = listen();
    let words = format!("{server} {} {port} {name}", users.display());
    let report = thread::scope(|scope| {
        let lane = scope.spawn(move || {
            let _end = End(Door(port));
            apart::run("stores::lane", &words)
        });
        serve(&listener, |word| answer(&mut cluster, word));
        lane.join().unwrap()
    });
    let values: Vec<Vec<u8>> = serde_json::from_str(&report.unwrap()).unwrap();
    assert!(values.len() >= 4, "{} values were looked for", values.len());
    let log = cluster.audit_log();
    assert!(needles_of(&values).is_clean(log.as_bytes()), "the store's log has a value");
    asked_for_little(&log);
}

/// keyroll asked for one Secret, and whether it may write it, and for nothing else.
fn asked_for_little(log: &str) {
    let asked: Vec<(String, String)> = by_keyroll(log)
        .filter(|event| event["objectRef"]["resource"].is_string())
        .map(|event| {
            let word = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            (word("/verb"), format!("{}/{}", word("/objectRef/resource"), word("/objectRef/name")))
        })
        .collect();
    assert!(!asked.is_empty(), "keyroll asked for nothing");
    for (verb, of) in asked {
        let may = match verb.as_str() {
            "get" | "patch" => of == "secrets/acme",
            "create" => of.starts_with("selfsubject"),
            _ => false,
        };
        assert!(may, "keyroll asked to {verb} {of}");
    }
}

fn by_keyroll(log: &str) -> impl Iterator<Item = Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["user"]["username"] == "system:serviceaccount:shop:keyroll")
}

/// Does what a word says.
fn answer(cluster: &mut Kubernetes, word: &str) -> String {
    match word {
        "stop" => cluster.stop_api_server(),
        "start" => cluster.start_api_server(),
        WRITES => {
            let log = cluster.audit_log();
            let wrote = |event: &Value| event["verb"] == "patch" && event["responseStatus"]["code"] == 200;
            return by_keyroll(&log).filter(wrote).count().to_string();
        }
        other => panic!("there is no word {other}"),
    }
    DONE.to_owned()
}

/// The namespace with the accounts: keyroll's may read and patch one Secret, as the guide says.
fn make_accounts(cluster: &Kubernetes) {
    let mut all = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned();
    for (name, verbs, _) in ACCOUNTS {
        // Only other people make a Secret: a right to that cannot name it.
        let make =
            if name == "writer" { ", {apiGroups: [''], resources: [secrets], verbs: [create]}" } else { "" };
        all += "---\n";
        all += &Kubernetes::service_account(name, "shop", &format!("[{SECRET}{verbs}}}{make}]"));
    }
    cluster.apply(&all);
    for (name, _, verb) in ACCOUNTS {
        let user = format!("system:serviceaccount:shop:{name}");
        let may = ["auth", "can-i", verb, "secrets/acme", "--namespace", "shop", "--as", &user];
        cluster.wait("the rights of the roles", || cluster.does(&may));
    }
}

/// The port of `kubectl proxy` with the login of an account.
fn proxy(cluster: &mut Kubernetes, account: &str) -> u16 {
    let kubeconfig = cluster.kubeconfig_for(account, "shop");
    cluster.proxy(&kubeconfig)
}

/// The users, one a line: name, kubeconfig, token. The last line is where a program asks that reads again and again, and the
/// program that is kubectl.
fn logins(cluster: &mut Kubernetes) -> String {
    let line = |(name, ..): (&str, &str, &str)| {
        let text = fs::read_to_string(cluster.kubeconfig_for(name, "shop")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let token = file["users"][0]["user"]["token"].as_str().unwrap();
        format!("{name} {} {token}\n", text.trim().replace(token, TOKEN))
    };
    let users = ACCOUNTS.map(line).concat();
    let port = proxy(cluster, "reader");
    format!("{users}kubectl 127.0.0.1:{port} {}\n", cluster.program().display())
}

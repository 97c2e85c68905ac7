//! What the services' host does at Vault: this test program, started once more, so that the test's own process never holds a
//! password.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use crate::stores::exchange::exchange;

/// The variable that names the part: `key=value` words. None of them is a value of the secret.
pub const PART: &str = "KEYROLL_TEST_STATIC_ROLE_PART";

/// Writes the env file of the login that a static role has now, if the environment asks for that.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let words: BTreeMap<&str, &str> = text.split(' ').filter_map(|word| word.split_once('=')).collect();
    let (host, token) = (words["vault"], fs::read_to_string(words["login"]).unwrap());
    let request = format!(
        "GET /v1/database/static-creds/{} HTTP/1.1\r\nHost: {host}\r\nX-Vault-Token: {}\r\nConnection: close\r\n\r\n",
        words["role"],
        token.trim_end()
    );
    let (status, answer) = exchange(host, &request).unwrap();
    assert_eq!(status, 200);
    let of = |name: &str| answer["data"][name].as_str().unwrap();
    let (user, password) = (of("username"), of("password"));
    let url = format!("postgres://{user}:{password}@127.0.0.1:{}/shop", words["port"]);
    let lines = format!("# From Vault\nDB_USER={user}\nDB_PASSWORD={password}\nPOOL=2\nDATABASE_URL={url}\n");
    let mut open = fs::OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(words["out"]).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

//! The scene's other processes: this test program, started once more with a part to play. They make and read values
//! themselves, so that the test's own process never holds one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyroll_testkit::load::{log_in, read_variable};
use keyroll_testkit::{alphanumeric, scram_verifier};
use tokio_postgres::{Config, NoTls};

use crate::postgres::part::PART;
use crate::servers::server::Kind;

/// The files with the URL of the database.
pub(crate) const WITH_URL: [&str; 5] =
    ["shop/shop.env", "bill/bill.env", "job/job.env", "hand/a.env", "hand/b.env"];

type Words = BTreeMap<String, String>;

/// Plays the part that the environment names, if it names one.
pub(crate) async fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ').map(str::to_owned);
    let part = words.next().unwrap_or_default();
    let pair = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let words: Words = words.filter_map(pair).collect();
    match part.as_str() {
        "seed" => seed(&words).await,
        "login" => {
            let url = read_variable(Path::new(&words["env"]), &words["variable"]).unwrap();
            log_in(&url).await.unwrap();
        }
        _ => panic!("there is no part {part}"),
    }
}

/// Makes the logins that everything starts with, and writes their copies.
async fn seed(words: &Words) {
    let dir = PathBuf::from(&words["dir"]);
    let url = database(words, &dir).await;
    for copy in WITH_URL {
        put(&dir.join(copy), &format!("DATABASE_URL={url}\n"));
    }
    put(Path::new(&words["kept"]), &format!("DATABASE_URL={url}\n"));
    let (port, password) = (words["redis"].parse().unwrap(), alphanumeric(32));
    let admin = fs::read_to_string(dir.join("redis.key")).unwrap();
    Kind::Redis.seed(port, 0, admin.trim_end(), &password).await;
    let url = Kind::Redis.url("orders", &password, port);
    put(&dir.join("cache/cache.env"), &format!("ORDERS_URL={url}\n"));
}

/// A role that owns its database, and a pooler whose list has the role; the URL through the pooler.
async fn database(words: &Words, dir: &Path) -> String {
    let (port, via) = (&words["port"], &words["via"]);
    let admin = fs::read_to_string(dir.join("admin.key")).unwrap();
    let (user, admin_password) = admin.trim_end().split_once(':').unwrap();
    let mut config = Config::new();
    config.host("127.0.0.1").port(port.parse().unwrap()).user(user).password(admin_password);
    let (client, connection) = config.dbname("postgres").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let password = alphanumeric(32);
    // A verifier made here: the server and its log never see the value.
    let verifier = scram_verifier(&password);
    client.batch_execute(&format!("CREATE ROLE orders LOGIN PASSWORD '{verifier}'")).await.unwrap();
    client.batch_execute("CREATE DATABASE shop OWNER orders").await.unwrap();
    let stats = fs::read_to_string(dir.join("stats.key")).unwrap();
    let stats = stats.trim_end().split_once(':').unwrap().1;
    let folder = dir.join("pooler");
    put(
        &folder.join("userlist.txt"),
        &format!("\"stats\" \"{stats}\"\n\"orders\" \"{password}\"\n\"someone\" \"{}\"\n", alphanumeric(16)),
    );
    let ini = format!(
        "[databases]\nshop = host=127.0.0.1 port={port} dbname=shop\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {via}\nunix_socket_dir =\npool_mode = session\nauth_type = scram-sha-256\n\
         auth_file = {folder}/userlist.txt\nstats_users = stats\ndefault_pool_size = 20\n\
         logfile = {folder}/pgbouncer.log\npidfile = {folder}/pid\n",
        folder = folder.display(),
    );
    put(&folder.join("pgbouncer.ini"), &ini);
    format!("postgres://orders:{password}@127.0.0.1:{via}/shop")
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

//! The scene's other processes: this test program, started once more with a part to play. They read values from
//! files themselves, so that the test's own process never holds one and is no holder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use keyroll_testkit::load::{Callers, Worker, WorkerOptions, read_variable};
use keyroll_testkit::{alphanumeric, scram_verifier};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, Config, NoTls};

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub(crate) const PART: &str = "KEYROLL_TEST_PART";

/// How often a worker looks whether the test still runs.
const LIFELINE_PAUSE: Duration = Duration::from_secs(1);

/// How often a forgotten process tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

struct Words(BTreeMap<String, String>);

impl Words {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("{key}=… is missing"))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key}= is no number that fits"))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.text(key).into()
    }
}

/// Plays the part that the environment names, if it names one.
pub(crate) async fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ').map(str::to_owned);
    let part = words.next().unwrap_or_default();
    let pair = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let words = Words(words.filter_map(pair).collect());
    match part.as_str() {
        "seed" => seed(&words).await,
        "worker" => worker(&words).await,
        "try" => try_login(&words).await,
        "forgotten" => forgotten(&words).await,
        _ => panic!("there is no part {part}"),
    }
}

/// Makes the role that consumers use, which owns the objects; writes the first copies, and hands the value to keyroll.
async fn seed(words: &Words) {
    let dir = words.path("dir");
    let port = words.text("port");
    let admin = fs::read_to_string(dir.join("admin.key")).unwrap();
    let (user, admin_password) = admin.trim_end().split_once(':').unwrap();
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(words.number("port"))
        .user(user)
        .password(admin_password)
        .dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let password = alphanumeric(32);
    // A verifier made here: the server and its log never see the value.
    let verifier = scram_verifier(&password);
    client.batch_execute(&format!("CREATE ROLE orders LOGIN PASSWORD '{verifier}'")).await.unwrap();
    client.batch_execute("CREATE DATABASE shop OWNER orders").await.unwrap();
    let pooled = words.0.get("way").is_some_and(|way| way != "Direct");
    let via = if pooled { words.text("via") } else { port };
    let url = format!("postgres://orders:{password}@127.0.0.1:{via}/shop");
    if pooled {
        pooler(words, &dir, &password, &client).await;
    }
    // systemd ignores lines with `export`, but a shell needs it.
    let export = if words.0.contains_key("unit") { "" } else { "export " };
    let app = format!(
        "# The shop's API\nLOG_LEVEL=info\nDB_USER=orders\nDB_PASSWORD='{password}'\n{export}DATABASE_URL=\"{url}\"\nPOOL=4\n"
    );
    fs::write(dir.join("app/api.env"), app).unwrap();
    fs::write(dir.join("billing/billing.env"), format!("DATABASE_URL={url}\r\nQUEUE=invoices\r\n")).unwrap();
    fs::write(
        dir.join("job/pgpass"),
        format!("# host:port:database:user:password\n127.0.0.1:{port}:shop:orders:{password}\n"),
    )
    .unwrap();
    for copy in ["app/api.env", "billing/billing.env", "job/pgpass"] {
        close(&dir.join(copy));
    }
    fs::write(words.path("kept"), format!("DATABASE_URL={url}\n")).unwrap();
    close(&words.path("kept"));
    let unused: &[&str] = match words.0.get("way").map(String::as_str) {
        None | Some("Direct") => &[],
        Some("Forced") => &["app/api.env", "billing/billing.env", "job/pgpass"],
        Some(_) => &["billing/billing.env", "job/pgpass"],
    };
    for copy in unused {
        fs::remove_file(dir.join(copy)).unwrap();
    }
    add(words, &dir, via, &password);
}

/// The files of a pooler before the server: one whose list has the login, or that has one of its own by which it asks.
async fn pooler(words: &Words, dir: &Path, password: &str, admin: &Client) {
    let folder = dir.join("pooler");
    let stats = fs::read_to_string(dir.join("stats.key")).unwrap();
    let stats = stats.trim_end().split_once(':').unwrap().1;
    let mut list = format!("; who may come\n\"stats\" \"{stats}\"\n");
    let (mut ask, mut own_login) = ("", String::new());
    if words.text("way") == "Forced" {
        let web = alphanumeric(20);
        list += &format!("\"web\" \"{web}\"\n");
        own_login = format!(" user=orders password={password}");
        let url = format!("postgres://web:{web}@127.0.0.1:{}/shop", words.text("via"));
        let env = words.path("kept").with_file_name("web");
        fs::write(&env, format!("DATABASE_URL={url}\n")).unwrap();
    } else if words.text("way") == "List" {
        list += &format!("\"orders\" \"{password}\"\n\"someone\" \"{}\"\n", alphanumeric(16));
    } else {
        let own = alphanumeric(20);
        let verifier = scram_verifier(&own);
        admin
            .batch_execute(&format!("CREATE ROLE gate LOGIN SUPERUSER PASSWORD '{verifier}'"))
            .await
            .unwrap();
        list += &format!("\"gate\" \"{own}\"\n");
        ask = "auth_user = gate\n";
    }
    fs::write(folder.join("userlist.txt"), list).unwrap();
    let ini = format!(
        "[databases]\nshop = host=127.0.0.1 port={port} dbname=shop{own_login}\n\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {via}\nunix_socket_dir =\npool_mode = session\n\
         auth_type = scram-sha-256\nauth_file = {folder}/userlist.txt\n{ask}stats_users = stats\n\
         default_pool_size = 20\npidfile = {folder}/pid\n",
        port = words.text("port"),
        via = words.text("via"),
        folder = folder.display(),
    );
    fs::write(folder.join("pgbouncer.ini"), ini).unwrap();
    for file in ["userlist.txt", "pgbouncer.ini"] {
        close(&folder.join(file));
    }
}

fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn add(words: &Words, dir: &Path, port: &str, password: &str) {
    let mut child = Command::new(words.path("keyroll"))
        .args(["--state", "state", "--no-input", "secret", "add", "orders-db", "--id", "orders"])
        .args(["--field", "user=orders", "--field", "host=127.0.0.1", "--field", "dbname=shop", "--field"])
        .arg(format!("port={port}"))
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "keyroll takes the value in");
}

/// One instance of a service. With `rate` it also calls itself, and counts; without, its callers count.
async fn worker(words: &Words) {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let port = words.number("port");
    let worker = Worker::start(&WorkerOptions {
        url: match words.0.get("env") {
            Some(file) => read_variable(Path::new(file), "DATABASE_URL").unwrap(),
            // Its service manager has read the file.
            None => std::env::var("DATABASE_URL").unwrap(),
        },
        port,
        pool: words.number("pool"),
        warm_ms: words.number("warm_ms"),
        drain_ms: words.number("drain_ms"),
        log: Some(words.path("log")),
    })
    .await
    .unwrap();
    let callers = words.0.contains_key("rate").then(|| Callers::start(port, words.number("rate")));
    let parent = PathBuf::from(format!("/proc/{}", words.text("lifeline")));
    let orphaned = async {
        while parent.exists() {
            tokio::time::sleep(LIFELINE_PAUSE).await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        () = orphaned => {}
    }
    if let Some(callers) = callers {
        let tally = callers.stop().await;
        let line = format!("{} {}\n", tally.sent, tally.failed);
        let mut count = fs::OpenOptions::new().create(true).append(true).open(words.path("count")).unwrap();
        count.write_all(line.as_bytes()).unwrap();
    }
    worker.drain().await;
}

/// Logs in again and again, until it is ended or the test has ended.
async fn forgotten(words: &Words) {
    let url = read_variable(&words.path("env"), "DATABASE_URL").unwrap();
    let lifeline = PathBuf::from(format!("/proc/{}", words.text("lifeline")));
    while lifeline.exists() {
        drop(Config::from_str(&url).unwrap().connect(NoTls).await);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// One login with the URL of an env file; the server's own word is the answer.
async fn try_login(words: &Words) {
    let url = read_variable(&words.path("env"), "DATABASE_URL").unwrap();
    let answer = match Config::from_str(&url).unwrap().connect(NoTls).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    };
    fs::write(words.path("answer"), answer).unwrap();
}

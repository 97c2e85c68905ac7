//! From nothing to a saved plan of a PostgreSQL and of a Redis login: `init` writes all but the file of the admin's login,
//! and each step that comes too early says what is missing.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use keyroll_testkit::{ManagerTools, PgBouncer, Postgres, Redis, free_port, scram_verifier};

use crate::hostile::ran::wait;
use crate::init::merged::Scene;

/// A service that a real supervisord keeps; its shell reads an env file.
struct Shop {
    scene: Scene,
    tools: ManagerTools,
}

impl Shop {
    /// The service, with these lines in its file; `None` where its manager is missing.
    fn start(what: &str, lines: impl FnOnce(&Scene) -> String) -> Option<Self> {
        let tools = ManagerTools::or_skip(what, env!("CARGO_TARGET_TMPDIR"))?;
        let scene = Scene::new();
        scene.file("srv/shop.env", &lines(&scene));
        let dir = scene.path("srv").display().to_string();
        scene.file(
            "srv/supervisord.conf",
            &format!(
                "[supervisord]\nlogfile={dir}/s.log\npidfile={dir}/s.pid\n[unix_http_server]\nfile={dir}/s.sock\n\
                 [rpcinterface:supervisor]\n\
                 supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
                 [supervisorctl]\nserverurl=unix://{dir}/s.sock\n[program:shop]\n\
                 command=sh -c 'set -a; . ./shop.env; exec sleep 100000'\ndirectory={dir}\nstartsecs=1\n\
                 stdout_logfile=NONE\nstderr_logfile=NONE\n"
            ),
        );
        let shop = Self { scene, tools };
        assert!(shop.supervised("supervisord", &[]).status().unwrap().success());
        wait("its service", || {
            let told = shop.supervised("supervisorctl", &["status", "shop"]).output().unwrap();
            String::from_utf8_lossy(&told.stdout).contains("RUNNING")
        });
        Some(shop)
    }

    fn supervised(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.tools.program(program));
        command.args(["-c", "supervisord.conf"]).args(words).current_dir(self.scene.path("srv"));
        command.env_clear().env("PATH", self.tools.path()).stdin(Stdio::null());
        command
    }

    /// What keyroll says, with this on its standard input.
    #[track_caller]
    fn fed(&self, words: &[&str], input: &str, code: i32) -> String {
        let mut command = self.scene.command(words);
        command.env("PATH", self.tools.path()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that refuses at once does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(!said.contains(&self.scene.value), "a value: {said}");
        said
    }

    #[track_caller]
    fn run(&self, words: &[&str], code: i32) -> String {
        self.fed(words, "", code)
    }

    /// `init`, and the name of the only secret that it wrote.
    #[track_caller]
    fn init(&self) -> String {
        let said = self.run(&["init", "--memory", "0", "./srv"], 0);
        let text = self.scene.written();
        assert!(!text.contains("FILL-IN") && !text.contains(&self.scene.value), "{said}\n{text}");
        let names = text.lines().filter_map(|line| line.strip_prefix("[secrets.")?.strip_suffix(']'));
        let names: Vec<&str> = names.filter(|name| !name.contains('.')).collect();
        let [name] = names.as_slice() else { panic!("{names:?}: {said}\n{text}") };
        assert!(said.contains(&format!("./{name}-admin, one line user:password")), "{said}");
        (*name).to_owned()
    }

    /// Every step before the admin's file is there is refused, keeps nothing, and says what must be written where.
    #[track_caller]
    fn says_what_is_missing(&self, name: &str, maker: &str) {
        let file = self.scene.path(&format!("{name}-admin")).display().to_string();
        let add = ["secret", "add", name, "--field", "user=shop"];
        for words in [&["secret", "import", name][..], &add, &["plan", name]] {
            let said = self.fed(words, "a-mistyped-value\n", 1);
            let install = format!("install -m 600 /dev/stdin {file}");
            for part in ["K0310", "one line user:password", install.as_str(), maker] {
                assert!(said.contains(part), "{words:?}: {part} is not in {said}");
            }
        }
        assert!(self.run(&["secret", "list"], 0).contains("no value"));
    }

    /// The admin's file is written, and nothing else: the next two commands end with a saved plan.
    #[track_caller]
    fn is_planned(&self, name: &str, admin: &str) {
        let before = self.scene.written();
        self.scene.file(&format!("{name}-admin"), &format!("{admin}\n"));
        let said = self.run(&["secret", "import", name], 0);
        assert!(said.contains("accepted at 127.0.0.1:") && said.contains("it belongs to shop"), "{said}");
        assert!(!said.contains("not bound"), "{said}");
        let said = self.run(&["plan", name], 0);
        assert!(
            said.contains("keyroll apply ") && said.contains("\"shop_a\" and \"shop_b\" take turns"),
            "{said}"
        );
        assert_eq!(self.scene.written(), before);
        // What it has already is not imported again.
        let said = self.run(&["secret", "import", name], 1);
        assert!(said.contains("K0613") && said.contains(&format!("keyroll plan {name}")), "{said}");
        assert!(!said.contains("--replace"), "{said}");
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.supervised("supervisorctl", &["shutdown"]).output();
        let pid = self.scene.path("srv/s.pid");
        wait("the end of its manager", || !pid.exists());
    }
}

/// Makes the login `shop` with its database.
async fn make_shop(server: &Postgres, password: &str) {
    let admin = server.connect_admin("postgres").await.unwrap();
    let verifier = scram_verifier(password);
    admin.batch_execute(&format!("CREATE ROLE shop LOGIN PASSWORD '{verifier}'")).await.unwrap();
    admin.batch_execute("CREATE DATABASE shop OWNER shop").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_login_needs_only_the_file_of_its_admin_until_its_first_plan() {
    let Some(server) = Postgres::start_or_skip("from init to a plan of a PostgreSQL login") else { return };
    let url = |scene: &Scene| {
        let (variable, value, port) =
            (scene.variable().replace("API_KEY", "DATABASE_URL"), &scene.value, server.port());
        format!("# the shop\n{variable}=postgresql://shop:{value}@127.0.0.1:{port}/shop\n")
    };
    let Some(shop) = Shop::start("from init to a plan of a PostgreSQL login", url) else { return };
    make_shop(&server, &shop.scene.value).await;
    let name = shop.init();
    let text = shop.scene.written();
    for part in [
        "issuer = \"postgres\"\n".to_owned(),
        format!("admin  = \"file:./{name}-admin\"\n"),
        format!(
            "[secrets.{name}.postgres]\nhost = \"127.0.0.1\"\nport = {}\ndbname = \"shop\"\n",
            server.port()
        ),
        "owner_role = \"shop\"\nslots = [\"shop_a\", \"shop_b\"]\n".to_owned(),
        "# proposed, correct it if it is wrong".to_owned(),
        "reads = { file = \"./srv/shop.env\", template = \"postgresql://{user}:{password}@\" }\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    shop.says_what_is_missing(&name, "CREATE ROLE keyroll_admin LOGIN CREATEROLE");
    shop.is_planned(&name, &format!("{}:{}", server.superuser(), server.password()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_login_in_variables_needs_only_the_file_of_its_admin_until_its_first_plan() {
    let Some(server) = Redis::start_or_skip("from init to a plan of a Redis login") else { return };
    let variables = |scene: &Scene| {
        let (value, port) = (&scene.value, server.port());
        format!("REDIS_HOST=127.0.0.1\nREDIS_PORT={port}\nREDIS_USERNAME=shop\nREDIS_PASSWORD={value}\n")
    };
    let Some(shop) = Shop::start("from init to a plan of a Redis login", variables) else { return };
    server
        .admin_says(&format!("ACL SETUSER shop on >{} ~* &* +@all -@admin", shop.scene.value))
        .await
        .unwrap();
    server.admin_says("ACL SAVE").await.unwrap();
    let name = shop.init();
    let text = shop.scene.written();
    for part in [
        "issuer = \"redis\"\n".to_owned(),
        format!("[secrets.{name}.redis]\nhost = \"127.0.0.1\"\nport = {}\nslots = [", server.port()),
        "{ env_file = \"./srv/shop.env\", variable = \"REDIS_PASSWORD\", field = \"password\" }".to_owned(),
        "{ env_file = \"./srv/shop.env\", variable = \"REDIS_USERNAME\", field = \"user\" }".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    shop.says_what_is_missing(&name, "ACL SETUSER keyroll_admin");
    shop.is_planned(&name, &format!("{}:{}", server.admin(), server.password()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_behind_a_pooler_is_proposed_and_its_list_is_named_as_a_copy() {
    let what = "init at a PgBouncer";
    if !PgBouncer::is_there(what) {
        return;
    }
    let Some(server) = Postgres::start_or_skip(what) else { return };
    let port = free_port().unwrap();
    let url = |scene: &Scene| {
        let variable = scene.variable().replace("API_KEY", "DATABASE_URL");
        format!("{variable}=postgresql://shop:{}@127.0.0.1:{port}/shop\n", scene.value)
    };
    let Some(shop) = Shop::start(what, url) else { return };
    make_shop(&server, &shop.scene.value).await;
    // Not in the folder that init searches: its own process names it.
    let folder = keyroll_testkit::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ini = format!(
        "[databases]\nshop = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         auth_type = scram-sha-256\nauth_file = {}\nunix_socket_dir =\n",
        server.port(),
        path("userlist.txt").display()
    );
    fs::write(path("pgbouncer.ini"), ini).unwrap();
    fs::write(path("userlist.txt"), format!("\"shop\" \"{}\"\n", shop.scene.value)).unwrap();
    let _pooler = PgBouncer::start(folder.path(), port).unwrap();
    let name = shop.init();
    let text = shop.scene.written();
    // Long comments are wrapped.
    let joined = text.replace("\n#  ", "");
    for part in [
        format!("[secrets.{name}.postgres]\nhost = \"127.0.0.1\"\nport = {}\n", server.port()),
        format!("poolers = [{{ host = \"127.0.0.1\", port = {port}, admin = \"file:./pgbouncer.key\" }}]"),
        format!("a copy: PgBouncer's list {} holds the password of shop", path("userlist.txt").display()),
    ] {
        assert!(joined.contains(&part), "{part} is not in\n{joined}");
    }
    assert!(!text.contains("name  = \"pgbouncer\""), "{text}");
}

/// Two fields that stand nowhere, and three that the server's table names.
const ORDERS: &str = "version = 1\n[secrets.orders]\nissuer = \"postgres\"\nadmin = \"file:./admin\"\n\
[secrets.orders.fields]\nuser = { secret = false }\npassword = { secret = true }\nhost = { secret = false }\n\
port = { secret = false }\ndbname = { secret = false }\nregion = { secret = false }\n\
[secrets.orders.postgres]\nhost = \"127.0.0.1\"\nport = 1\ndbname = \"orders\"\nowner_role = \"orders\"\n\
slots = [\"orders_a\", \"orders_b\"]\n[[secrets.orders.consumers]]\nname = \"job\"\nruns = { at_rest = true }\n\
reads = { file = \"./key\", field = \"password\" }\n";

#[track_caller]
fn said(scene: &Scene, words: &[&str], code: i32) -> String {
    let output = scene.command(words).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

#[test]
fn every_field_that_stands_nowhere_is_named_at_once_with_the_whole_command() {
    let scene = Scene::new();
    scene.file("keyroll.toml", ORDERS);
    scene.file("key", &scene.value);
    scene.file("admin", &format!("admin:{}\n", scene.token));
    for (words, verb) in [(["secret", "import", "orders"], "import"), (["secret", "add", "orders"], "add")] {
        let said = said(&scene, &words, 1);
        assert!(said.contains("the field `region`") && said.contains("the field `user`"), "{said}");
        let command = format!("keyroll secret {verb} orders --field region=TEXT --field user=TEXT\n");
        assert!(said.contains(&command), "{said}");
        // What keyroll.toml names is not asked for.
        assert!(!said.contains("dbname") && !said.contains("`host`"), "{said}");
    }
    let said = said(&scene, &["secret", "import", "orders", "--field", "user=shop", "--from", "./key"], 1);
    let command = "keyroll secret import orders --field user=shop --field region=TEXT --from ./key\n";
    assert!(said.contains(command) && !said.contains("`user`"), "{said}");
}

#[test]
fn a_value_that_was_imported_without_its_id_is_bound_by_the_command_that_is_said() {
    let scene = Scene::new();
    let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nadmin = \"file:./none\"\n\
                [[secrets.acme.consumers]]\nname = \"job\"\nruns = { at_rest = true }\nreads = { file = \"./key\" }\n";
    scene.file("keyroll.toml", text);
    scene.file("key", &scene.value);
    let first = said(&scene, &["secret", "import", "acme", "--anyway"], 0);
    assert!(first.contains("acme was added unchecked"), "{first}");
    assert!(first.contains("keyroll secret add acme --replace --id ID"), "{first}");
    let again = said(&scene, &["secret", "import", "acme", "--id", "key-1"], 1);
    let command = "keyroll secret add acme --replace --id key-1";
    assert!(again.contains("K0613") && again.contains("not bound") && again.contains(command), "{again}");
    let words: Vec<&str> = command.split(' ').skip(1).chain(["--anyway"]).collect();
    let mut child = scene.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(scene.value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said(&scene, &["secret", "show", "acme"], 0).contains("key-1"));
}

//! The packages, as `cargo xtask dist` made them: each is installed where nothing of keyroll is, and the demo runs from it.

mod packages;

use keyroll_testkit::Engine;
use packages::{Packages, VERSION, succeeds};

/// Prints what systemd finds wrong in units, and fails if it is in them.
const VERIFY: &str = "exec 2>&1; systemd-analyze verify --man=no --recursive-errors=no";

/// The last lines of a demo that lost nothing.
#[track_caller]
fn is_whole_demo(said: &str) {
    assert!(said.contains(" sent, 0 failed") && said.contains("  ended: done"), "{said}");
    assert!(said.contains("\noutcome ") && said.contains(" done in "), "{said}");
}

/// Prints each page that the help of the program or one of its manual pages names, and that is not below $DOC; and each link of
/// a page there that leads to no file. A manual page says what the help of its command says. Fails if nothing is named.
const MISSING_PAGES: &str = r#"named=$({ $PREFIX/bin/keyroll --help; zcat $PREFIX/share/man/man1/keyroll*.1.gz | sed 's/\\-/-/g'; } |
    grep -oE 'docs/[A-Za-z0-9/_-]+\.md' | sort -u)
DOC=$PREFIX/share/doc/keyroll
grep -qx docs/guides/values-for-programs.md <<<"$named"
for page in $named; do test -s "$DOC/$page" || echo "$page"; done
cd "$DOC"; find . -name '*.md' | while read -r page; do
    { grep -oE '\]\([^)#]+' "$page" || true; } | cut -c3- | { grep -v : || true; } | while read -r link; do
        test -e "$(dirname "$page")/$link" || echo "$page: $link"
    done
done"#;

#[test]
fn the_checksums_are_those_of_the_packages() {
    let Some(packages) = Packages::find("the checksums") else { return };
    let said = packages.sh("sha256sum -c --strict SHA256SUMS");
    let mut named: Vec<&str> = said.lines().filter_map(|line| line.strip_suffix(": OK")).collect();
    named.sort_unstable();
    assert_eq!(named, packages.names());
}

#[test]
fn the_bill_of_materials_has_every_crate_of_the_program() {
    let Some(packages) = Packages::find("the bill of materials") else { return };
    let bill = packages.bill();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.5");
    assert_eq!(bill["metadata"]["component"]["version"], VERSION);
    let lock_sum = packages.sh("sha256sum <\"$ROOT\"/Cargo.lock");
    assert_eq!(bill["metadata"]["properties"][0]["value"], lock_sum.trim_end_matches(" -\n").trim());

    let lock = packages.lock();
    let components = bill["components"].as_array().unwrap();
    let mut named = Vec::new();
    for one in components {
        let [name, version] = ["name", "version"].map(|key| one[key].as_str().unwrap());
        let entry = format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let (_, entry) =
            lock.split_once(&entry).unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
        let entry = entry.split("[[package]]").next().unwrap();
        match one["hashes"][0]["content"].as_str() {
            Some(sum) => assert!(entry.contains(&format!("checksum = \"{sum}\"")), "{name}: {entry}"),
            None => assert!(!entry.contains("checksum"), "{name} has none: {entry}"),
        }
        assert!(one["licenses"].is_array(), "{name} has no licence");
        named.push(format!("{name}-{version}"));
    }
    // The program itself says where its crates came from: in the texts of their panics.
    let linked = packages.crates_in_program();
    assert!(linked.len() > 100, "{linked:?}");
    let left_out: Vec<&String> = linked.iter().filter(|one| !named.contains(one)).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    for tests_only in ["keyroll-testkit", "keyroll-sim", "proptest", "trycmd"] {
        assert!(!named.iter().any(|one| one.starts_with(tests_only)), "{tests_only} is only for tests");
    }
}

#[test]
fn the_debian_package_is_installed_used_and_removed() {
    let Some(packages) = Packages::find("the Debian package") else { return };
    let Some(host) = packages.host("the Debian package") else { return };
    // The image of the hosts has no documents, and would install none.
    host.done("rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap");
    let deb = packages.path(&format!("keyroll_{VERSION}_amd64.deb"));
    host.done(&format!("test -z \"$(command -v keyroll)\"; dpkg -i {deb}"));
    assert_eq!(host.done("keyroll --version").trim(), format!("keyroll {VERSION}"));
    host.done("dpkg -V keyroll; test -x /usr/libexec/keyroll/keyroll-host");
    host.done("gzip -t /usr/share/man/man1/keyroll*.1.gz /usr/share/doc/keyroll/*.gz");
    host.done("zcat /usr/share/man/man1/keyroll-secret-add.1.gz | grep -q '^.TH keyroll-secret-add 1'");
    host.done("test -s /usr/share/doc/keyroll/copyright");
    assert_eq!(host.done(&format!("PREFIX=/usr; {MISSING_PAGES}")), "");
    host.done("bash -n /usr/share/bash-completion/completions/keyroll");
    host.done("grep -q '^#compdef keyroll' /usr/share/zsh/vendor-completions/_keyroll");
    host.done("grep -q -- '--command keyroll ' /usr/share/fish/vendor_completions.d/keyroll.fish");
    let completes = "COMP_WORDS=(keyroll du); COMP_CWORD=1; COMP_TYPE=9; _clap_complete_keyroll keyroll du keyroll; \
                     echo \"${COMPREPLY[*]}\"";
    let completed = host.done(&format!(". /usr/share/bash-completion/completions/keyroll; {completes}"));
    assert_eq!(completed, "due\n");
    let units = "/usr/lib/systemd/system/keyroll{.service,-due.service,-due.timer}";
    let verified = host.done(&format!("{VERIFY} {units}"));
    assert!(!verified.contains("keyroll"), "{verified}");
    host.done("getent passwd keyroll | grep -q ':/var/lib/keyroll-unprivileged:'");
    for unit in ["keyroll.service", "keyroll-due.timer"] {
        assert_eq!(host.done(&format!("systemctl is-enabled {unit} || true")).trim(), "disabled");
        assert_eq!(host.done(&format!("systemctl is-active {unit} || true")).trim(), "inactive");
    }
    is_whole_demo(&host.done("cd /tmp; keyroll demo --plain"));

    let health = host.serves("/etc/keyroll", "root");
    let pid = || host.done("systemctl show -P MainPID keyroll").trim().to_owned();
    let first = pid();
    // A second installation is an upgrade: the server goes on until somebody restarts it.
    host.done(&format!("systemctl enable keyroll; dpkg -i {deb}"));
    assert_eq!(pid(), first);
    host.done(&health);
    host.done("systemctl restart keyroll");
    assert_ne!(pid(), first);
    host.done(&health);

    let kept =
        || host.done("find /etc/keyroll /var/lib/keyroll -type f ! -name '*-wal' ! -name '*-shm' | sort");
    host.done("keyroll --config /etc/keyroll/keyroll.toml status; systemctl stop keyroll");
    let before = kept();
    let is_kept = || {
        let now = kept();
        assert!(before.lines().all(|path| now.lines().any(|other| other == path)), "{before}{now}");
    };
    let says_kept = |said: &str| assert!(said.contains("keyroll: kept /var/lib/keyroll,"), "{said}");
    says_kept(&host.done("systemctl start keyroll; dpkg -r keyroll"));
    assert_eq!(host.done("systemctl is-active keyroll || true").trim(), "inactive");
    host.done("test -z \"$(command -v keyroll)$(find /etc/systemd/system -name 'keyroll*')\"");
    is_kept();
    host.done(&format!("dpkg -i {deb}; systemctl start keyroll"));
    host.done(&health);
    says_kept(&host.done("dpkg -P keyroll"));
    is_kept();
    assert!(before.contains("/etc/keyroll/admin-token\n"), "{before}");
}

#[test]
fn the_server_of_the_package_runs_without_root_where_it_needs_none() {
    let Some(packages) = Packages::find("a server without root") else { return };
    let Some(host) = packages.host("a server without root") else { return };
    host.done("rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap");
    host.done(&format!("dpkg -i {}", packages.path(&format!("keyroll_{VERSION}_amd64.deb"))));
    host.done(
        "install -D -m 644 /usr/share/doc/keyroll/examples/unprivileged.conf \
         /etc/systemd/system/keyroll.service.d/unprivileged.conf; systemctl daemon-reload",
    );
    let verified = host.done(&format!("{VERIFY} /usr/lib/systemd/system/keyroll.service"));
    assert!(!verified.contains("keyroll"), "{verified}");
    let health = host.serves("/var/lib/keyroll-unprivileged", "keyroll");
    host.done(&health);
    let user = host.done("stat -c %U /proc/$(systemctl show -P MainPID keyroll)");
    assert_eq!(user.trim(), "keyroll");
    assert_eq!(host.done("find /etc/keyroll /var/lib/keyroll 2>/dev/null || true"), "");
}

#[test]
fn the_archive_runs_where_it_is_unpacked() {
    let Some(packages) = Packages::find("the archive") else { return };
    let Some(host) = packages.host("the archive") else { return };
    let name = format!("keyroll-{VERSION}-x86_64-linux-gnu");
    let archive = packages.path(&format!("{name}.tar.gz"));
    assert_eq!(host.done(&format!("tar -tzvf {archive} | grep -v ' 0/0 ' || true")), "", "files of somebody");
    host.done(&format!("tar -C /opt -xzf {archive}"));
    host.done(&format!(
        "cd /opt/{name}; test -s LICENSE; gzip -t share/man/man1/*.gz; bin/keyroll-host --version"
    ));
    assert_eq!(host.done(&format!("PREFIX=/opt/{name}; {MISSING_PAGES}")), "");
    host.done(&format!("grep -q '^# keyroll' /opt/{name}/README.md"));
    is_whole_demo(&host.done(&format!("cd /tmp; /opt/{name}/bin/keyroll demo --plain")));
}

#[test]
fn the_image_runs_as_nobody_and_writes_nothing_of_its_own() {
    let Some(packages) = Packages::find("the image") else { return };
    let Some(engine) = Engine::start_or_skip("the image") else { return };
    let docker = |words: &[&str]| succeeds(&mut engine.docker(words));
    docker(&["load", "--input", &packages.path(&format!("keyroll-{VERSION}-image.tar"))]);
    let image = format!("keyroll:{VERSION}");
    let asked = ["image", "inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}}", &image];
    assert_eq!(docker(&asked).trim(), "65532:65532 [/usr/bin/keyroll]");
    let run = ["run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"];
    let plain = [&run[..], &["--security-opt", "no-new-privileges", &image]].concat();
    let said = docker(&[&plain[..], &["--version"]].concat());
    assert_eq!(said.trim(), format!("keyroll {VERSION}"));
    // The demo executes scripts that it writes.
    let demo = [&run[..], &["--tmpfs", "/tmp:exec", &image, "demo", "--plain"]].concat();
    is_whole_demo(&docker(&demo));
    let script = "while read -r key value _; do if [ \"$key\" = Uid: ]; then echo \"$value\"; fi; done </proc/self/status
        echo >/var/lib/keyroll/own; if echo >/etc/other; then exit 1; fi";
    let shell = ["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", &image, "-euc", script];
    let said = docker(&shell);
    assert!(said.starts_with("65532\n"), "{said}");
}

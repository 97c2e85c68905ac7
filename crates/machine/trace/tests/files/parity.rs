//! A credential that a survey of the machine finds in a file, a search for leaks finds there too, and the reverse: both
//! read the same table of places.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_leak::{Rules, untried_places};
use keyroll_scanner::{Detector, KnownValues, Report, Scan, Tree};

use super::{Home, below, generated, key, of};

/// A file and its text: `@` first is the value; `%LOGIN%` is `user:value` in base64.
const PLACES: &[(&str, &str)] = &[
    // Lists of logins.
    (
        "pool/userlist.txt",
        "; of the pool\n\"stats\" \"@\"\n\"old\" \"md5d41d8cd98f00b204e9800998ecf8427e\"\n",
    ),
    ("pool/pgbouncer.ini", "[databases]\nshop = host=h user=shop password=@ dbname=shop\n"),
    ("pg/.pgpass", "db.acme.dev:5433:shop:app:@\n"),
    ("net1/.netrc", "machine api.acme.dev\n  login shop\n  password @\n"),
    ("net2/_netrc", "machine api.acme.dev login shop password @\n"),
    ("web/.htpasswd", "shop:@\n"),
    ("acl/users.acl", "user default off\nuser shop on >@ ~* +get\n"),
    ("proxy/proxychains4.conf", "[ProxyList]\nsocks5 10.0.0.9 1080 shop @\n"),
    ("vpn/ipsec.secrets", "10.0.0.1 10.0.0.2 : PSK \"@\"\n"),
    ("ppp/chap-secrets", "shop * @ *\n"),
    ("smb/.smbcredentials", "username=shop\npassword=@\n"),
    ("mail/sasl_passwd", "[smtp.acme.dev]:587 shop:@\n"),
    // Tools of developers.
    ("npm1/.npmrc", "//registry.acme.dev/:_authToken=@\n"),
    ("npm2/.npmrc", "_auth=%LOGIN%\n"),
    ("yarn1/.yarnrc.yml", "npmAuthToken: \"@\"\n"),
    ("yarn2/.yarnrc.yml", "npmScopes:\n  acme:\n    npmAuthIdent: \"shop:@\"\n"),
    ("py/.pypirc", "[pypi]\nusername = shop\npassword = @\n"),
    ("pip/.config/pip/pip.conf", "[global]\nindex-url = https://shop:@@pypi.acme.dev/simple\n"),
    ("ruby/.bundle/config", "---\nBUNDLE_GEMS__ACME__DEV: \"shop:@\"\n"),
    ("ruby/.gem/credentials", "---\n:rubygems_api_key: @\n"),
    ("java/gradle.properties", "repoPassword=@\n"),
    (
        "java/.m2/settings.xml",
        "<settings><servers><server>\n<password>@</password>\n</server></servers></settings>\n",
    ),
    ("rust/.cargo/credentials.toml", "[registry]\ntoken = \"@\"\n"),
    ("php/auth.json", r#"{"http-basic":{"repo.acme.dev":{"username":"shop","password":"@"}}}"#),
    ("php/wp-config.php", "<?php\ndefine('DB_PASSWORD', '@');\n"),
    ("docker/.docker/config.json", r#"{"auths":{"registry.acme.dev":{"auth":"%LOGIN%"}}}"#),
    ("docker/.dockercfg", r#"{"registry.acme.dev":{"auth":"%LOGIN%"}}"#),
    ("kube/.kube/config", "apiVersion: v1\nusers:\n- name: admin\n  user:\n    token: @\n"),
    ("aws/.aws/credentials", "[default]\naws_secret_access_key = @\n"),
    ("s3/.s3cfg", "[default]\nsecret_key = @\n"),
    ("tf/.terraformrc", "credentials \"app.terraform.io\" {\n  token = \"@\"\n}\n"),
    ("curl/.curlrc", "user = \"shop:@\"\n"),
    ("curl/.wgetrc", "http_password=@\n"),
    // Servers and clients.
    ("my/.my.cnf", "[client]\nuser=app\npassword=@\n"),
    ("odbc/odbc.ini", "[shop]\nDriver = PostgreSQL\nUID = shop\nPWD = @\n"),
    ("redis/redis.conf", "bind 127.0.0.1\nrequirepass @\n"),
    ("rabbit/rabbitmq.conf", "default_user = shop\ndefault_pass = @\n"),
    ("mqtt/mosquitto.conf", "connection bridge\nremote_password @\n"),
    ("ldap/ldap.conf", "bindpw @\n"),
    ("ldap/ldap.secret", "@\n"),
    ("sssd/sssd.conf", "[domain/x]\nldap_default_authtok = @\n"),
    ("ftp/proftpd.conf", "SQLConnectInfo shop app @\n"),
    ("snmp/snmpd.conf", "rocommunity @\n"),
    ("mail/.msmtprc", "account acme\nuser shop\npassword @\n"),
    ("mail/.fetchmailrc", "poll mail.acme.dev user shop password @\n"),
    ("mail/muttrc", "set imap_pass=\"@\"\n"),
    ("wifi/wpa_supplicant.conf", "network={\n\tssid=\"acme\"\n\tpsk=\"@\"\n}\n"),
    ("wifi/office.nmconnection", "[wifi-security]\nkey-mgmt=wpa-psk\npsk=@\n"),
    // What starts programs.
    ("unit/shop.service", "[Service]\nEnvironment=\"MODE=x\" \"DB_PASSWORD=@\"\n"),
    ("unit/supervisord.conf", "[program:shop]\nenvironment=MODE=\"x\",DB_PASSWORD=\"@\"\n"),
    ("cron/crontab", "DB_PASSWORD=@\n* * * * * root /usr/bin/job\n"),
    ("cron/cron.d/shop", "* * * * * root DB_PASSWORD=@ /usr/bin/job\n"),
    ("etc/environment", "DB_PASSWORD=@\n"),
    ("env/.env.production", "DB_PASSWORD=@\n"),
    ("env/compose.yaml", "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=@\n"),
    ("tf/prod.tfvars", "db_password = \"@\"\n"),
    ("sh/.bash_history", "export DB_PASSWORD=@\n"),
    // Files of one value.
    ("run/secrets/db_password", "@\n"),
    ("run/secrets/one", "@\n"),
    ("run/credstore/db", "@\n"),
    ("run/db_password.txt", "@\n"),
    ("run/admin.key", "@\n"),
    // git's own files.
    ("git1/.git-credentials", "https://shop:@@git.acme.dev\n"),
    ("git2/.git-credentials", "https://@@git.acme.dev\n"),
    ("git3/.config/git/credentials", "https://shop:@@git.acme.dev\n"),
    ("git4/.gitconfig", "[url \"https://shop:@@git.acme.dev/\"]\n\tinsteadOf = https://git.acme.dev/\n"),
    ("git5/.gitmodules", "[submodule \"l\"]\n\tpath = l\n\turl = https://shop:@@git.acme.dev/l.git\n"),
    ("git6/.git/config", "[remote \"o\"]\n\turl = https://x-access-token:@@git.acme.dev/a.git\n"),
    ("git7/.git/config", "[http \"https://h/\"]\n\textraheader = AUTHORIZATION: basic %LOGIN%\n"),
    ("git8/.git/config", "[http \"https://h/\"]\n\textraheader = AUTHORIZATION: bearer @\n"),
    ("git9/.git/config", "[http \"https://h/\"]\n\textraheader = PRIVATE-TOKEN: @\n"),
    ("git10/.git/config.worktree", "[remote \"o\"]\n\turl = https://shop:@@git.acme.dev/a.git\n"),
    ("git11/.git/FETCH_HEAD", "0123\t\tbranch 'main' of https://shop:@@git.acme.dev/a\n"),
    ("git12/.git/logs/HEAD", "0 1 n <a> 1 +0000\tclone: from https://shop:@@git.acme.dev/a\n"),
    ("git13/.git/hooks/pre-push", "#!/bin/sh\nDB_PASSWORD=@ make check\n"),
    ("git14/.git/modules/lib/config", "[remote \"o\"]\n\turl = https://shop:@@git.acme.dev/a.git\n"),
    ("git15/bare.git/config", "[remote \"o\"]\n\turl = https://shop:@@git.acme.dev/a.git\n"),
    ("git16/.git/credentials", "https://shop:@@git.acme.dev\n"),
    ("git17/.config/git/config", "[remote \"o\"]\n\turl = https://shop:@@git.acme.dev/a.git\n"),
    ("git18/.git/modules/vendor/logs/hooks/pre-push", "#!/bin/sh\nDB_PASSWORD=@ make check\n"),
    ("git19/.git/modules/objects/config", "[remote \"o\"]\n\turl = https://shop:@@git.acme.dev/a.git\n"),
    // Other names of the same.
    ("pg/pgpass", "db.acme.dev:5433:shop:app:@\n"),
    ("pg/pgpass.conf", "db.acme.dev:5433:shop:app:@\n"),
    ("kube/kubeconfig", "apiVersion: v1\nusers:\n- name: admin\n  user:\n    token: @\n"),
    ("aws/.aws/config", "[profile a]\naws_secret_access_key = @\n"),
    ("gs/.boto", "[Credentials]\ngs_secret_access_key = @\n"),
    ("odbc/.odbc.ini", "[shop]\nDriver = PostgreSQL\nUID = shop\nPWD = @\n"),
    ("web/admin.htpasswd", "shop:@\n"),
    ("web/htpasswd", "shop:@\n"),
    ("redis/valkey.conf", "user shop on >@ ~* +get\n"),
    ("redis/sentinel.conf", "sentinel auth-pass main @\n"),
    ("proxy/proxychains.conf", "[ProxyList]\nhttp 10.0.0.9 8080 shop @\n"),
    ("ppp/pap-secrets", "shop * @ *\n"),
    ("curl/_curlrc", "user = \"shop:@\"\n"),
    ("mail/fetchmailrc", "poll mail.acme.dev user shop password @\n"),
    ("mail/msmtprc", "account acme\nuser shop\npassword @\n"),
    ("mail/neomuttrc", "set imap_pass=\"@\"\n"),
    ("smb/smbcredentials", "username=shop\npassword=@\n"),
    ("ldap/pam_ldap.conf", "bindpw @\n"),
    ("ldap/nslcd.conf", "bindpw @\n"),
    ("ldap/slapd.conf", "rootpw @\n"),
    ("ftp/sitemanager.xml", "<Server>\n<Host>ftp.acme.dev</Host>\n<Pass>@</Pass>\n</Server>\n"),
    ("ftp/recentservers.xml", "<Server>\n<Host>ftp.acme.dev</Host>\n<Pass>@</Pass>\n</Server>\n"),
    (
        "net/nuget.config",
        "<configuration>\n<add key=\"ClearTextPassword\" value=\"@\" />\n</configuration>\n",
    ),
    // Old versions of such files.
    ("old/.pgpass.bak", "db.acme.dev:5433:shop:app:@\n"),
    ("old/userlist.txt~", "\"stats\" \"@\"\n"),
];

/// The same places without a credential: placeholders, hashes, references.
const NOTHING: &[(&str, &str)] = &[
    (
        "pool/userlist.txt",
        "\"a\" \"SCRAM-SHA-256$4096:QWm9SePq1IR6w0LzHeaxXg==$a\"\n\"b\" \"changeme\"\n\"c\" \"\"\n",
    ),
    ("pg/.pgpass", "h:5432:d:u:${PGPASSWORD}\n"),
    ("net/.netrc", "machine h login ada password ${NETRC_PASSWORD}\n"),
    ("web/.htpasswd", "ada:$apr1$b4f9$kD93hfQ0plm4XyT71bQe1.\nbob:rl4Nn9Q5Kx3aB\n"),
    (
        "acl/users.acl",
        "user shop on #e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 +@all\n",
    ),
    ("redis/redis.conf", "# requirepass foobared\nport 6379\n"),
    ("proxy/proxychains.conf", "[ProxyList]\nsocks4 127.0.0.1 9050\n"),
    ("ppp/chap-secrets", "# client server secret addresses\n"),
    ("npm/.npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\n"),
    ("ruby/.bundle/config", "---\nBUNDLE_PATH: \"vendor/bundle\"\n"),
    ("java/.m2/settings.xml", "<password>${env.REPO_PASSWORD}</password>\n"),
    ("ldap/ldap.conf", "bindpw ${LDAP_PASSWORD}\n"),
    ("run/secrets/one", "kubernetes\n"),
    ("run/secrets/version", "v1.2.3-rc4build5\n"),
    ("run/db_password.txt", "${DB_PASSWORD}\n"),
    (
        "git1/.git/config",
        "[remote \"o\"]\n\turl = git@github.com:acme/shop.git\n[remote \"p\"]\n\turl = https://ada.lovelace%40acme.dev@git.acme.dev/a\n[remote \"q\"]\n\turl = https://acme-platform-team-2024@git.acme.dev/a\n[http]\n\textraheader = PRIVATE-TOKEN: ${TOKEN}\n",
    ),
    ("git2/.git/hooks/pre-push", "#!/bin/sh\nDB_PASSWORD=\"$1\" make check\n"),
    ("git3/.gitmodules", "[submodule \"l\"]\n\turl = https://git.acme.dev/l.git\n"),
];

fn leaks(home: &Home) -> Report {
    let detector =
        Detector::new(KnownValues::default(), key()).with_rules(Rules::shipped().unwrap()).with_names();
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    scan.tree(&Tree { paths: vec![home.at("")], ignored_left_out: true });
    scan.finish()
}

#[test]
fn every_place_of_the_table_has_a_sample() {
    let samples: Vec<&str> = PLACES.iter().map(|(path, _)| *path).collect();
    assert_eq!(untried_places(&samples), [""; 0]);
}

#[test]
fn what_a_survey_finds_in_a_place_a_search_for_leaks_finds_and_the_reverse() {
    let home = Home::new();
    let mut planted = Vec::new();
    for (path, text) in PLACES {
        let value = generated();
        let login = STANDARD.encode(format!("shop:{value}"));
        let file = home.write(path, text.replacen('@', &value, 1).replace("%LOGIN%", &login));
        planted.push((file, value));
    }
    let (survey, report) = (home.survey(), leaks(&home));
    let leaked: BTreeSet<_> = report.findings.iter().filter_map(|one| one.place.path.clone()).collect();
    let mut wrong = Vec::new();
    for (file, value) in &planted {
        let surveyed = of(&survey, value).iter().any(|one| one.place.file() == Some(file.as_path()));
        if !surveyed || !leaked.contains(file) {
            wrong.push(format!("scan {surveyed}, leaks {}: {}", leaked.contains(file), file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_credential_in_a_place_neither_of_them_finds() {
    let home = Home::new();
    for (path, text) in NOTHING {
        home.write(path, text);
    }
    let (survey, report) = (home.survey(), leaks(&home));
    let found = below(&survey, &home.at(""));
    assert!(found.is_empty(), "{found:#?}");
    let leaked: Vec<_> = report.findings.iter().map(|one| one.place.path.clone()).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
}

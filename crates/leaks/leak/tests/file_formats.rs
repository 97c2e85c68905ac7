//! Credentials that only the format of their file reveals, which its name tells.

use std::path::Path;

use keyroll_leak::{Rules, in_file_named};

const VALUE: &str = "kD93hfQ0plm4Xy7T";

fn found<'t>(path: &str, text: &'t str) -> Vec<&'t str> {
    let rules = Rules::shipped().unwrap();
    in_file_named(Path::new(path), text.as_bytes(), rules).into_iter().map(|one| &text[one.span]).collect()
}

#[test]
fn the_name_of_a_file_tells_how_its_lines_are_read() {
    for (path, text) in [
        ("userlist.txt", "; of the pool\n\"stats\" \"@\"\n"),
        ("userlist.txt", "  \"a \"\"b\"\"\" , \"@\" ; more\r\n"),
        ("userlist.txt.bak", "\"stats\" \"@\""),
        (".pgpass", "/var/run/postgresql:5433:shop:app:@\n"),
        ("pgpass.conf", "h\\:x:1:d:u:@\r\n"),
        (".htpasswd", "ada:@\n"),
        ("users.acl", "user default off\nuser shop on >@ ~* +get\n"),
        ("redis.conf", "user shop on allkeys >@\n"),
        ("sentinel.conf", "port 26379\nsentinel monitor main 10.0.0.9 6379 2\nsentinel auth-pass main @\n"),
        ("sentinel.conf", "SENTINEL AUTH-PASS main \"@\"\n"),
        ("valkey.conf", "user shop on >@ ~* +get\n"),
        ("proxychains4.conf", "[ProxyList]\nsocks5 10.0.0.9 1080 shop @\n"),
        ("ipsec.secrets", "10.0.0.1 10.0.0.2 : PSK \"@\"\n"),
        ("ipsec.secrets", "ada : EAP \"@\"\n"),
        ("ipsec.secrets", ": RSA host.key \"@\"\n"),
        ("chap-secrets", "shop\t*\t@\t*\n"),
        (".curlrc", "user = \"shop:@\"\n"),
        (".curlrc", "-u shop:@\n"),
        (".curlrc", "proxy-user: shop:@\n"),
        (".bundle/config", "---\nBUNDLE_GEMS__ACME__DEV: \"shop:@\"\n"),
        (".bundle/config", "BUNDLE_GITHUB__COM: @:x-oauth-basic\n"),
        (".yarnrc.yml", "npmScopes:\n  acme:\n    npmAuthIdent: \"shop:@\"\n"),
        (".fetchmailrc", "poll mail.acme.dev user shop password @\n"),
        ("ldap.conf", "bindpw @\n"),
        ("sssd.conf", "ldap_default_authtok = @\n"),
        ("proftpd.conf", "SQLConnectInfo shop app @\n"),
        (".git/config", "[remote \"o\"]\n\turl = https://@@git.acme.dev/shop.git\n"),
        (".git/config", "[http]\n\textraheader = PRIVATE-TOKEN: @\n"),
        (".git-credentials", "https://@@git.acme.dev\n"),
        (".npmrc", "//registry.acme.dev/:_authToken=@\n"),
        ("secrets/one", "@\n"),
        ("db_password.txt", "@"),
        ("admin.key", "@\n"),
    ] {
        let text = text.replacen('@', VALUE, 1);
        assert_eq!(found(path, &text), [VALUE], "{path}: {text}");
    }
}

#[test]
fn hashes_references_and_placeholders_are_none_in_any_of_them() {
    let hash = "5f1a9bcde23f4456abcdef015f1a9bcd";
    for (path, text) in [
        ("userlist.txt", format!("\"old\" \"md5{hash}\"\n\"new\" \"SCRAM-SHA-256$4096:QWm9SePq1IR6w0LzHeaxXg==$a\"\n")),
        ("userlist.txt", "\"app\" \"changeme\"\n\"b\" \"\"\n".to_owned()),
        (".pgpass", "h:5432:d:u:${PGPASSWORD}\n# h:5432:d:u:changeme\n".to_owned()),
        (".htpasswd", "ada:$apr1$b4f9$kD93hfQ0plm4XyT71bQe1.\nbob:rl4Nn9Q5Kx3aB\n".to_owned()),
        ("users.acl", format!("user shop on #{hash}{hash} ~* +@all\n")),
        ("proxychains.conf", "[ProxyList]\nsocks4 127.0.0.1 9050\n".to_owned()),
        ("ipsec.secrets", ": RSA host.key\ninclude /etc/ipsec.d/*.secrets\n".to_owned()),
        ("chap-secrets", "# client server secret addresses\n".to_owned()),
        (".curlrc", "user = \"shop:$PASSWORD\"\nuser-agent = \"kD93hfQ0:plm4Xy7T\"\n".to_owned()),
        (".bundle/config", "BUNDLE_PATH: \"vendor/bundle:kD93hfQ0plm4\"\n".to_owned()),
        ("ldap.conf", "bindpw ${LDAP_PW}\nuri ldaps://ldap.acme.dev\n".to_owned()),
        (".git/config", "[remote \"o\"]\n\turl = git@github.com:acme/shop.git\n\tpushurl = https://x-access-token@github.com/a/b\n".to_owned()),
        (".git/config", "[http]\n\textraheader = PRIVATE-TOKEN: ${TOKEN}\n".to_owned()),
        (".git/config", "[remote \"o\"]\n\turl = https://jane.doe%40contoso.com@dev.azure.com/x/_git/y\n".to_owned()),
        (".gitmodules", "[submodule \"x\"]\n\turl = https://my-company-devops-team1@dev.azure.com/a/_git/b\n".to_owned()),
        ("sentinel.conf", "sentinel auth-user main kD93hfQ0plm4Xy\nsentinel known-replica main 10.0.0.9 6379\n".to_owned()),
        (".npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\n".to_owned()),
        ("secrets/one", "kubernetes\n".to_owned()),
        ("secrets/notes", format!("{VALUE} and more\n")),
        ("db_password.txt", "${DB_PASSWORD}\n".to_owned()),
        ("notes.txt", format!("\"stats\" \"{VALUE}\"\n{VALUE}\n")),
    ] {
        assert!(found(path, &text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn a_setting_in_a_file_of_one_value_keeps_its_own_span() {
    let text = format!("DB_PASSWORD={VALUE}\n");
    assert_eq!(found("secrets/app", &text), [VALUE]);
}

//! The machines of `[hosts]`: what is read, what is refused, and what is added.

use keyroll_config::{Config, Connect, Name, NewHost, with_hosts};

use crate::refuses::expect;

const FLEET: &str = r#"version = 1
[hosts.here]
connect = "local"
[hosts.web-1]
connect = "ssh://deploy@web-1.example.org:2222"
group = "web"
sudo = true
program = "/usr/local/bin/keyroll-host"
folder = "/srv//app/./"
[hosts.web-2]
connect = "ssh://[2001:db8::7]"
group = "web"
"#;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[track_caller]
fn expect_of_host(lines: &str, code: &str, line: usize, words: &str) {
    expect(&format!("version = 1\n[hosts.a]\n{lines}\n"), code, line, words);
}

#[test]
fn a_host_is_reached_as_it_is_written() {
    let config = Config::parse(FLEET, "/srv/keyroll.toml").unwrap();
    let of = |host: &str| config.hosts.get(host).unwrap();
    assert_eq!(config.hosts.len(), 3, "`local` need not be declared");
    assert_eq!(of("here").connect, Connect::Local);
    let Connect::Ssh(first) = &of("web-1").connect else { panic!("{:?}", of("web-1")) };
    assert_eq!(
        (first.user.as_deref(), first.host.as_str(), first.port, first.sudo, first.program.as_deref()),
        (Some("deploy"), "web-1.example.org", Some(2222), true, Some("/usr/local/bin/keyroll-host"))
    );
    let Connect::Ssh(second) = &of("web-2").connect else { panic!("{:?}", of("web-2")) };
    assert_eq!(
        (second.user.as_deref(), second.host.as_str(), second.port, second.sudo, second.program.as_deref()),
        (None, "2001:db8::7", None, false, None)
    );
    assert_eq!(of("web-2").connect.to_string(), "ssh://[2001:db8::7]");
    assert_eq!(of("web-2").group, Some(name("web")));
    let folder = |host: &str| of(host).folder.as_ref().map(|folder| folder.display().to_string());
    assert_eq!([folder("web-1").as_deref(), folder("web-2").as_deref()], [Some("/srv/app"), None]);
}

#[test]
fn a_cluster_is_reached_as_it_is_written() {
    let text = "version = 1\n[hosts.prod]\nconnect = \"kube://arn:aws:eks:eu-west-1:123456789012:cluster/prod/agents\"\n\
                kubeconfig = \"./kube/config\"\ngroup = \"clusters\"\n[hosts.dev]\nconnect = \"kube://kind/dev\"\n\
                [hosts.pod]\nconnect = \"kube://in-cluster\"\n[hosts.other]\nconnect = \"kube://in-cluster/other\"\n";
    let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
    let of = |host: &str| {
        let Connect::Kube(address) = &config.hosts.get(host).unwrap().connect else { panic!("{host}") };
        assert_eq!(config.hosts.get(host).unwrap().connect.cluster(), Some(address));
        let kubeconfig = address.kubeconfig.as_ref().map(|path| path.display().to_string());
        (address.context.clone(), address.namespace.clone(), kubeconfig)
    };
    let some = |text: &str| Some(text.to_owned());
    let eks = "arn:aws:eks:eu-west-1:123456789012:cluster/prod";
    assert_eq!(of("prod"), (some(eks), some("agents"), some("/srv/kube/config")));
    assert_eq!(of("dev"), (some("kind"), some("dev"), None));
    assert_eq!(of("pod"), (None, None, None));
    assert_eq!(of("other"), (None, some("other"), None));
    let prod = config.hosts.get("prod").unwrap();
    assert_eq!(prod.connect.to_string(), format!("kube://{eks}/agents"));
    assert_eq!((prod.group.clone(), prod.connect.is_ssh()), (Some(name("clusters")), false));
}

#[test]
fn a_cluster_that_cannot_be_meant_is_refused() {
    let namespace = "which one is meant must not depend on the kubeconfig";
    expect_of_host("connect = \"kube://prod\"", "K0004", 3, "the namespace is missing");
    expect_of_host("connect = \"kube://prod\"", "K0004", 3, namespace);
    let eks = "connect = \"kube://arn:aws:eks:eu-west-1:123456789012:cluster/prod\"";
    expect_of_host(eks, "K0004", 3, "the namespace is missing");
    expect_of_host("connect = \"kube://prod/4F1d0c9b\"", "K0004", 3, "behind the last `/`");
    expect_of_host("connect = \"kube://4f1d0c9b?/a\"", "K0004", 3, "the context may have");
    expect_of_host("connect = \"kube:4f1d0c9b\"", "K0004", 3, "does not begin with `kube://`");
    for line in ["sudo = false", "program = \"/opt/x\"", "folder = \"/srv\""] {
        let key = line.split(' ').next().unwrap();
        let why = format!("`{key}` goes with a host by ssh, and this one is a cluster");
        expect_of_host(&format!("connect = \"kube://prod/agents\"\n{line}"), "K0004", 4, &why);
    }
    for connect in ["local", "ssh://a"] {
        let lines = format!("connect = \"{connect}\"\nkubeconfig = \"./k\"");
        expect_of_host(&lines, "K0004", 4, "`kubeconfig` goes with a cluster");
    }
    let in_cluster = "connect = \"kube://in-cluster/a\"\nkubeconfig = \"./k\"";
    expect_of_host(in_cluster, "K0004", 4, "does not go with `kube://in-cluster`");
    expect_of_host("connect = \"kube://prod/a\"\nkubeconfig = \"a/../b\"", "K0004", 4, "`..` after a name");
    expect_of_host("connect = \"kube://prod/a\"\ngroup = \"a\"", "K0004", 4, "the name of a host");
    expect(
        "version = 1\n[hosts.local]\nconnect = \"kube://prod/a\"\n",
        "K0006",
        3,
        "is the machine that keyroll runs on",
    );
}

#[test]
fn a_host_that_cannot_be_meant_is_refused() {
    expect_of_host("connect = \"docker://a\"", "K0006", 3, "not supported by this version");
    expect_of_host("connect = \"ssh://d:4f1d0c9b@a\"", "K0004", 3, "a password has no place in it");
    expect_of_host(
        "connect = \"ssh://-oProxyCommand=4f1d0c9b\"",
        "K0004",
        3,
        "begins with a letter or digit",
    );
    expect_of_host("connect = \"ssh://a:4f1d0c9b\"", "K0004", 3, "1 to 65535");
    expect_of_host("connect = \"ssh://a\"\nprogram = \"keyroll-host\"", "K0004", 4, "an absolute path");
    expect_of_host("connect = \"ssh://a\"\nprogram = \"/opt/a b\"", "K0004", 4, "an absolute path");
    expect_of_host("connect = \"local\"\nsudo = false", "K0004", 4, "`sudo` goes with a host by ssh");
    expect_of_host(
        "connect = \"local\"\nprogram = \"/opt/x\"",
        "K0004",
        4,
        "`program` goes with a host by ssh",
    );
    expect_of_host("connect = \"local\"\nfolder = \"/srv\"", "K0004", 4, "`folder` goes with a host by ssh");
    for (folder, words) in [
        ("./app", "an absolute path"),
        ("", "an absolute path"),
        ("~/app", "an absolute path"),
        ("/srv/../etc", "has `..` after a name"),
        ("/..", "has `..`"),
        ("/srv/a\\u0000b", "a control character"),
        ("/srv/a\\nb", "a control character"),
    ] {
        let lines = format!("connect = \"ssh://a\"\nfolder = \"{folder}\"");
        expect_of_host(&lines, "K0004", 4, words);
    }
    let long = |bytes: usize| format!("connect = \"ssh://a\"\nfolder = \"/{}\"", "a".repeat(bytes - 1));
    expect_of_host(&long(1_025), "K0004", 4, "at most 1024 bytes");
    assert!(Config::parse(&format!("version = 1\n[hosts.a]\n{}\n", long(1_024)), "keyroll.toml").is_ok());
    expect_of_host("connect = \"ssh://a\"\nhost = \"b\"", "K0004", 4, "unknown key `host`");
    expect_of_host("connect = \"ssh://a\"\ngroup = \"a\"", "K0004", 4, "the name of a host");
    expect_of_host("connect = \"ssh://a\"\ngroup = \"local\"", "K0004", 4, "the name of a host");
    expect_of_host("connect = \"ssh://a\"\ngroup = \"Web\"", "K0004", 4, "the name of a group");
    expect(
        "version = 1\n[hosts.local]\nconnect = \"ssh://a\"\n",
        "K0006",
        3,
        "is the machine that keyroll runs on",
    );
}

#[test]
fn hosts_stand_behind_what_is_there_and_nothing_else_changes() {
    let new = |text: &str, group: Option<&str>| NewHost {
        name: name(text),
        connect: format!("ssh://deploy@{text}"),
        sudo: group.is_none(),
        group: group.map(name),
    };
    let old = format!("# ours\n{FLEET}# the end");
    let added = [new("db-1", None), new("a.b", Some("other"))];
    let text = with_hosts(&old, "/srv/keyroll.toml", &added).unwrap();
    assert_eq!(
        text.strip_prefix(&old),
        Some(
            "\n\n[hosts.db-1]\nconnect = \"ssh://deploy@db-1\"\nsudo = true\n\n\
             [hosts.\"a.b\"]\nconnect = \"ssh://deploy@a.b\"\ngroup = \"other\"\n"
        )
    );
    let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
    assert_eq!(config.hosts.len(), 5);
    let again = with_hosts(&text, "k", &[new("db-1", None)]).unwrap_err();
    assert_eq!((again.code().as_str(), again.to_string().contains("`db-1` already")), ("K0014", true));
    let inline = "version = 1\nhosts = { a = { connect = \"local\" } }\n";
    assert_eq!(with_hosts(inline, "k", &[new("db-1", None)]).unwrap_err().code().as_str(), "K0014");
    assert!(with_hosts(&old, "k", &[new("web", None)]).is_err(), "a group has this name");
}

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::Address;
use crate::failure::{Effect, failure};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the program of a login may run.
const LOGIN_MAX: Duration = Duration::from_secs(30);
/// How long the server may be silent within an answer.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// A cluster, and the namespace that is meant in it.
#[derive(Clone)]
pub struct Cluster {
    /// Makes requests.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The address of its API server, for people.
    pub server: String,
    /// What the options of kubectl are that name this cluster and namespace: `--context prod -n shop`. A kubeconfig is not
    /// named: it may hold the login of keyroll, which only reads. Of a context that the operator does not have, kubectl
    /// says so and does nothing.
    pub options: String,
}

/// Reads the login, and makes ready for requests. Nothing is sent yet; a program of the login may be run.
///
/// # Errors
/// The kubeconfig or the service account cannot be read, or does not verify the server.
pub async fn connect(address: &Address) -> Result<Cluster, Failure> {
    let attempted = format!("use the login of {address}");
    let unusable = |why: String| {
        let help = "see that this works as the same user: kubectl get secrets, with the same --kubeconfig, --context and -n";
        Failure::new(Class::Permanent, Code::ClusterAccess, attempted.clone()).because(why).help(help)
    };
    let (mut config, proxy) = match address.in_cluster {
        true => (Config::incluster().map_err(|error| unusable(error.to_string()))?, false),
        false => of_file(address).await.map_err(|error| {
            let failure = unusable(said(&error, address));
            match help(&error, address) {
                Some(help) => failure.help(help),
                None => failure,
            }
        })?,
    };
    if !proxy {
        // A proxy of the environment is for other servers: NO_PROXY would not be asked.
        config.proxy_url = None;
    }
    if config.accept_invalid_certs {
        let why = "its kubeconfig says insecure-skip-tls-verify: anybody on the way could read the values";
        return Err(unusable(why.to_owned()).help("write the certificate-authority of the cluster there"));
    }
    let url = &config.cluster_url;
    let host = url.host().unwrap_or_default();
    let number = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let here = host == "localhost" || number.is_ok_and(|address| address.is_loopback());
    if url.scheme_str() != Some("https") && !here {
        return Err(unusable("the address of its server does not begin with https://".to_owned()));
    }
    config.connect_timeout = Some(CONNECT_MAX);
    config.read_timeout = Some(SILENT_MAX);
    config.write_timeout = Some(SILENT_MAX);
    config.reset_reader_on_write = true;
    // The caller knows what may be sent again.
    config.default_retry = false;
    let namespace = address.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    let server = format!("{}://{host}{port}", url.scheme_str().unwrap_or("https"));
    let options = options(address, &namespace);
    let client = made(config, &attempted, LOGIN_MAX).await?;
    Ok(Cluster { client, namespace, server, options })
}

/// The client of a configuration. This runs the program of the login, which blocks a thread for as long as it runs.
async fn made(config: Config, attempted: &str, longest: Duration) -> Result<Client, Failure> {
    let late = || {
        let why = format!("the program of its login took more than {} s", longest.as_secs());
        let help = "run it by hand as the same user, without a terminal: kubectl auth whoami </dev/null";
        Failure::new(Class::Permanent, Code::ClusterAccess, attempted).because(why).help(help)
    };
    let runtime = tokio::runtime::Handle::current();
    let making = tokio::task::spawn_blocking(move || {
        let _in_it = runtime.enter();
        Client::try_from(config)
    });
    match tokio::time::timeout(longest, making).await {
        Ok(Ok(client)) => client.map_err(|error| failure(attempted, error, Effect::None)),
        Ok(Err(_)) | Err(_) => Err(late()),
    }
}

fn kubeconfig(address: &Address) -> Result<Kubeconfig, KubeconfigError> {
    match &address.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    }
}

/// The files on which it rests to whom a login goes: the certificate authority of the cluster, and the program that makes the
/// login. None of a kubeconfig that cannot be read, and of a program that is looked for in `PATH`.
pub fn named_files(address: &Address) -> Vec<PathBuf> {
    let read = || kubeconfig(address).ok();
    let Some(file) = (!address.in_cluster).then(read).flatten() else { return Vec::new() };
    let (cluster, user) = meant(&file, address);
    let authority = cluster.and_then(|cluster| cluster.certificate_authority.clone());
    let program = user.and_then(|user| user.exec.as_ref()?.command.clone());
    let program = program.filter(|command| command.contains('/'));
    [authority, program].into_iter().flatten().map(PathBuf::from).collect()
}

/// The cluster that an address means, and the login to it, as a kubeconfig has them.
fn meant<'k>(
    file: &'k Kubeconfig,
    address: &Address,
) -> (Option<&'k kube::config::Cluster>, Option<&'k AuthInfo>) {
    let wanted = address.context.as_ref().or(file.current_context.as_ref());
    let context = file.contexts.iter().find(|one| Some(&one.name) == wanted);
    let Some(context) = context.and_then(|one| one.context.as_ref()) else { return (None, None) };
    let cluster = file.clusters.iter().find(|one| one.name == context.cluster);
    let user = file.auth_infos.iter().find(|one| Some(&one.name) == context.user.as_ref());
    (cluster.and_then(|one| one.cluster.as_ref()), user.and_then(|one| one.auth_info.as_ref()))
}

/// What a kubeconfig says, and whether it names a proxy itself.
async fn of_file(address: &Address) -> Result<(Config, bool), KubeconfigError> {
    let file = kubeconfig(address)?;
    let (cluster, _) = meant(&file, address);
    let proxy = cluster.is_some_and(|cluster| cluster.proxy_url.is_some());
    let options = KubeConfigOptions { context: address.context.clone(), ..KubeConfigOptions::default() };
    Ok((Config::from_custom_kubeconfig(file, &options).await?, proxy))
}

/// The kubeconfig that was read, as an error names it.
fn named(address: &Address) -> String {
    match &address.kubeconfig {
        Some(path) => format!("the kubeconfig {}", path.display()),
        None => "the kubeconfig (the files of KUBECONFIG, or else ~/.kube/config)".to_owned(),
    }
}

/// What is wrong with a kubeconfig, without its text: it may hold a token.
fn said(error: &KubeconfigError, address: &Address) -> String {
    let file = named(address);
    match error {
        KubeconfigError::Parse(_) => format!("{file} is no valid YAML of a kubeconfig"),
        KubeconfigError::ParseClusterUrl(_) | KubeconfigError::ParseProxyUrl(_) => {
            format!("{file} has an address that is none")
        }
        KubeconfigError::LoadContext(name) => format!("{file} has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("{file} has no cluster {name}"),
        KubeconfigError::CurrentContextNotSet => format!("{file} has no current context"),
        KubeconfigError::ReadConfig(why, path) => format!("{} cannot be read: {why}", path.display()),
        KubeconfigError::FindPath => {
            "there is no kubeconfig: neither KUBECONFIG nor ~/.kube/config".to_owned()
        }
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => {
            format!("the certificate authority of {file} cannot be read")
        }
        KubeconfigError::LoadClientCertificate(_) | KubeconfigError::LoadClientKey(_) => {
            format!("the client certificate of {file} cannot be read")
        }
        KubeconfigError::MissingClusterUrl => format!("{file} has no address of the server"),
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            "the files of KUBECONFIG do not fit together".to_owned()
        }
    }
}

/// What helps where that is not to try it with kubectl.
fn help(error: &KubeconfigError, address: &Address) -> Option<String> {
    let named =
        address.kubeconfig.as_ref().map(|path| format!(" --kubeconfig {}", word(&path.to_string_lossy())));
    match error {
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet => Some(format!(
            "correct the context in keyroll.toml; kubectl config get-contexts{} shows their names",
            named.unwrap_or_default()
        )),
        KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath => Some(
            "name the file that kubectl uses: kubeconfig = \"PATH\" under [hosts.NAME] of keyroll.toml, or beside the \
             context of a secret"
                .to_owned(),
        ),
        KubeconfigError::Parse(_)
        | KubeconfigError::ParseClusterUrl(_)
        | KubeconfigError::ParseProxyUrl(_)
        | KubeconfigError::LoadClusterOfContext(_)
        | KubeconfigError::LoadCertificateAuthority(_)
        | KubeconfigError::ParseCertificates(_)
        | KubeconfigError::LoadClientCertificate(_)
        | KubeconfigError::LoadClientKey(_)
        | KubeconfigError::MissingClusterUrl
        | KubeconfigError::KindMismatch
        | KubeconfigError::ApiVersionMismatch => None,
    }
}

/// A word, quoted for a shell.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@=+".contains(&byte);
    match text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The options of kubectl for the same place, quoted for a shell.
fn options(address: &Address, namespace: &str) -> String {
    let mut words = Vec::new();
    if let Some(context) = &address.context {
        words.push(format!("--context {}", word(context)));
    }
    words.push(format!("-n {namespace}"));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(server: &str, more: &str) -> (tempfile::TempDir, Address) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: {server}\n{more}users:\n- name: u\n  \
             user: {{}}\ncontexts:\n- name: prod\n  context: {{cluster: c, user: u, namespace: shop}}\n"
        );
        std::fs::write(&path, text).unwrap();
        let context = Some("prod".to_owned());
        (folder, Address { kubeconfig: Some(path), context, ..Address::default() })
    }

    #[tokio::test]
    async fn the_namespace_of_the_context_counts_unless_another_is_named() {
        let (_folder, address) = written("https://cluster.example:6443", "");
        let cluster = connect(&address).await.unwrap();
        assert_eq!(
            (cluster.namespace.as_str(), cluster.server.as_str()),
            ("shop", "https://cluster.example:6443")
        );
        let other = Address { namespace: Some("mail".to_owned()), ..address };
        let cluster = connect(&other).await.unwrap();
        assert_eq!(cluster.namespace, "mail");
        assert!(cluster.options.ends_with("--context prod -n mail"), "{}", cluster.options);
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_verified_is_refused_before_anything_is_sent() {
        let unverified = "    insecure-skip-tls-verify: true\n";
        for (server, more) in [("https://cluster.example", unverified), ("http://cluster.example", "")] {
            let (_folder, address) = written(server, more);
            let failure = connect(&address).await.err().unwrap();
            assert_eq!(failure.code, Code::ClusterAccess);
        }
        let (_folder, address) = written("http://127.0.0.1:8001", "");
        assert!(connect(&address).await.is_ok(), "kubectl proxy on this machine");
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_is_not_repeated_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let token = keyroll_testkit::alphanumeric(30);
        std::fs::write(&path, format!("users: [{{user: {{token: {token}\n: :")).unwrap();
        let address = Address { kubeconfig: Some(path), ..Address::default() };
        let failure = connect(&address).await.err().unwrap();
        let shown = format!("{failure} {:?}", failure.source);
        assert!(shown.contains("no valid YAML") && !shown.contains(&token), "{shown}");
        assert!(shown.contains(&folder.path().display().to_string()), "the file is named: {shown}");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_and_a_context_that_it_does_not_have_are_named_with_what_helps() {
        let missing = Address { kubeconfig: Some(PathBuf::from("/nowhere/config")), ..Address::default() };
        let failure = connect(&missing).await.err().unwrap();
        assert!(format!("{:?}", failure.source).contains("/nowhere/config"));
        assert!(failure.help.unwrap().contains("kubeconfig = \"PATH\" under [hosts.NAME]"));

        let (folder, address) = written("https://cluster.example:6443", "");
        let other = Address { context: Some("stage".to_owned()), ..address };
        let failure = connect(&other).await.err().unwrap();
        let file = folder.path().join("config").display().to_string();
        let shown = failure.source.unwrap().to_string();
        assert_eq!(shown, format!("the kubeconfig {file} has no context stage"));
        let help = failure.help.unwrap();
        assert!(help.contains(&format!("kubectl config get-contexts --kubeconfig {file}")), "{help}");
    }

    #[test]
    fn the_files_on_which_a_login_rests_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let of = |program: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n- name: c\n  cluster: {{server: \"https://c.example\", \
                 certificate-authority: ca.crt}}\nusers:\n- name: u\n  user: {{exec: {{command: {program}}}}}\n\
                 contexts:\n- name: prod\n  context: {{cluster: c, user: u}}\n"
            );
            std::fs::write(&path, text).unwrap();
            let address = Address { kubeconfig: Some(path.clone()), ..Address::default() };
            let other = Address { context: Some("other".to_owned()), ..address.clone() };
            assert!(named_files(&other).is_empty());
            named_files(&address)
        };
        let authority = folder.path().join("ca.crt");
        assert_eq!(of("aws"), std::slice::from_ref(&authority));
        assert_eq!(of("/opt/login"), [authority, PathBuf::from("/opt/login")]);
        assert!(named_files(&Address { in_cluster: true, ..Address::default() }).is_empty());
    }

    #[test]
    fn a_program_of_a_login_that_does_not_end_is_not_awaited_for_ever() {
        let (folder, address) = written("https://cluster.example", "");
        let path = folder.path().join("config");
        let login = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sleep, args: ['7'], \
                     interactiveMode: Never}";
        let text = std::fs::read_to_string(&path).unwrap().replace("user: {}", &format!("user: {{{login}}}"));
        std::fs::write(&path, text).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let failure = runtime.block_on(async {
            let (config, _) = of_file(&address).await.unwrap();
            made(config, "use the login", Duration::from_secs(1)).await.err().unwrap()
        });
        assert!(format!("{:?}", failure.source).contains("took more than 1 s"), "{failure:?}");
        // Its thread is still in the program.
        runtime.shutdown_background();
    }

    #[test]
    fn the_options_of_kubectl_are_quoted_and_name_no_kubeconfig() {
        let context = Some("my cluster".to_owned());
        let kubeconfig = Some(PathBuf::from("/srv/few rights.conf"));
        let address = Address { context, kubeconfig, ..Address::default() };
        assert_eq!(options(&address, "shop"), "--context 'my cluster' -n shop");
    }
}

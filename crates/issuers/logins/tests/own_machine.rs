//! A name that somebody else wrote and that leads to keyroll's own machine: no server there is connected to.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_http::Addresses;
use keyroll_logins::{Admins, Table, Value, login_server};
use keyroll_port::{Failure, Issuer, Probe};
use keyroll_secret::{Credential, Fields, SecretBytes};
use keyroll_vault::VaultSettings;

/// A name, by its form, that resolves to 127.0.0.1 on every machine.
const NAME: &str = "127.1";

/// How long a connection that was made may take to be seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on loopback that nobody has connected to yet.
fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Closes every connection from now on, and tells of each.
fn answer(listener: TcpListener) -> Receiver<()> {
    listener.set_nonblocking(false).unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    told
}

fn issuer(kind: &str, port: u16, addresses: Addresses) -> Result<Box<dyn Issuer>, Failure> {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut values = vec![
        ("host", text(NAME)),
        ("port", Value::Port(port)),
        ("slots", Value::Slots(["app_a", "app_b"].map(str::to_owned))),
    ];
    match kind {
        "postgres" => values.extend([("dbname", text("app")), ("owner_role", text("app"))]),
        "rabbitmq" => values.extend([("management_port", Value::Port(port)), ("vhost", text("/"))]),
        _ => {}
    }
    let (admin, vault) = (SecretBytes::from("keyroll:a password".to_owned()), VaultSettings::default());
    let admins = Admins { server: &admin, poolers: &[], vault: &vault, addresses };
    login_server(kind).unwrap().issuer(&Table { values }, &admins)
}

#[tokio::test]
async fn no_kind_of_server_is_connected_to_by_a_name_that_leads_to_the_own_machine() {
    let mut fields = Fields::new();
    fields.insert("user", SecretBytes::from("app_a".to_owned()), false);
    fields.insert("password", SecretBytes::from("a password".to_owned()), true);
    let credential = Credential { id: None, fields };
    for kind in ["postgres", "redis", "rabbitmq"] {
        let (listener, port) = server();
        let others = match issuer(kind, port, Addresses::OtherMachines) {
            Ok(issuer) => issuer,
            Err(failure) => {
                // The name is one of another machine, so that TLS is set up before it is resolved.
                assert_eq!(failure.code, Code::IssuerSettingsInvalid, "{failure:?}");
                eprintln!("left out: this machine trusts no root certificate (names that lead to it)");
                return;
            }
        };
        let endpoint = others.endpoints().remove(0);
        let said = "127.1 leads to 127.0.0.1 (loopback): ";
        let Probe::Unknown(why) = others.probe(&endpoint, &credential).await else { panic!("{kind}") };
        assert!(why.contains(said), "{kind}: {why}");
        let failure = others.list(&credential).await.unwrap_err();
        let why = failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
        assert_eq!(failure.code, Code::IssuerUnreachable, "{kind}: {failure:?}");
        assert!(why.contains(said), "{kind}: {why}");
        assert!(listener.accept().is_err(), "{kind} was connected to");
        // The same name, written by the operator.
        let told = answer(listener);
        let any = issuer(kind, port, Addresses::Any).unwrap();
        assert!(matches!(any.probe(&endpoint, &credential).await, Probe::Unknown(_)), "{kind}");
        assert!(told.recv_timeout(PATIENCE).is_ok(), "{kind} was not connected to");
    }
}

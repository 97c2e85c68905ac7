//! Whether the issuer shows which process of a host made a call: it is tried over a connection that leaves from that host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use keyroll_host::LOCAL;
use keyroll_http::via;
use keyroll_port::{Failure, Issuer};
use keyroll_rotation::{Consumer, HostId};
use keyroll_secret::Credential;
use keyroll_setup::is_loopback;
use tokio::task::JoinSet;

use crate::problem::Problem;
use crate::wiring::hosts::Hosts;

/// What a plan demands of a host whose calls are not attributed.
const INSTEAD: &str = "it asks for loaded and checked evidence there";

/// Why the calls of a host are not attributed.
#[derive(Debug, PartialEq, Eq)]
enum Hidden {
    /// The issuer sees them under this address, which is not the host's own.
    Translated(SocketAddr),
    /// The issuer does not show under which address it sees them.
    NotShown,
    /// It could not be tried.
    Untried(String),
}

impl Hidden {
    /// For the plan.
    fn line(&self, host: &str) -> String {
        match self {
            Self::Translated(seen) => format!(
                "calls of {host} reach the issuer under another address ({}): keyroll cannot see which process made them; \
                 {INSTEAD}",
                seen.ip().to_canonical()
            ),
            Self::NotShown => format!(
                "the issuer does not show under which address it sees calls of {host}: keyroll cannot see which process \
                 made them; {INSTEAD}"
            ),
            Self::Untried(why) => format!(
                "keyroll could not try whether it sees which process of {host} calls the issuer: {why}; {INSTEAD}"
            ),
        }
    }
}

/// The hosts by ssh whose calls are not attributed, although the issuer shows its sessions, with a line for the plan each. All
/// of them are tried at the same time. `planned`: a plan is applied, so what cannot be tried now is as it was planned.
pub(crate) async fn unattributed(
    hosts: &Hosts,
    issuer: &Arc<dyn Issuer>,
    credential: &Credential,
    planned: bool,
) -> BTreeMap<String, String> {
    let (mut tried, mut found) = (JoinSet::new(), BTreeMap::new());
    for host in attributable(&hosts.consumers) {
        let Some(name) = hosts.names.get(host.index()).cloned() else { continue };
        let (dialer, issuer) = (hosts.dialer_of(&name), Arc::clone(issuer));
        let credential = credential.duplicate();
        found.insert(name.clone(), Err(Hidden::Untried("the call was stopped".to_owned())));
        tried.spawn(async move { (name, tried_from(dialer, issuer.as_ref(), &credential).await) });
    }
    while let Some(ended) = tried.join_next().await {
        if let Ok((name, answer)) = ended {
            found.insert(name, answer);
        }
    }
    lines(found, planned)
}

/// The line for each host whose calls are not attributed.
fn lines(found: BTreeMap<String, Result<(), Hidden>>, planned: bool) -> BTreeMap<String, String> {
    let line = |(name, answer): (String, Result<(), Hidden>)| {
        let hidden = answer.err().filter(|hidden| !planned || !matches!(hidden, Hidden::Untried(_)))?;
        let line = hidden.line(&name);
        Some((name, line))
    };
    found.into_iter().filter_map(line).collect()
}

/// The hosts by ssh with a consumer whose calls would be evidence.
fn attributable(consumers: &[Consumer]) -> BTreeSet<HostId> {
    let theirs = consumers.iter().filter(|consumer| consumer.attributable && consumer.host != LOCAL);
    theirs.map(|consumer| consumer.host).collect()
}

/// Asks every endpoint from one host.
async fn tried_from(
    dialer: Option<Arc<dyn via::Dial>>,
    issuer: &dyn Issuer,
    credential: &Credential,
) -> Result<(), Hidden> {
    let dialer = dialer.ok_or_else(|| Hidden::Untried("no connection can be made from there".to_owned()))?;
    for endpoint in issuer.endpoints() {
        // There, it is another server.
        if is_loopback(&endpoint) {
            return Err(Hidden::Untried(format!("{endpoint} is an address of keyroll's own machine")));
        }
        let call = issuer.seen_as(&endpoint, credential);
        let (seen, ends) = via::through_seen(Arc::clone(&dialer), call).await;
        judge(seen, &ends)?;
    }
    Ok(())
}

/// `ends`: the host's ends of the connections that the call opened from there.
fn judge(seen: Result<Option<SocketAddr>, Failure>, ends: &[SocketAddr]) -> Result<(), Hidden> {
    let seen = seen.map_err(|failure| Hidden::Untried(Problem::from(failure).sentence()))?;
    let seen = seen.ok_or(Hidden::NotShown)?;
    if ends.is_empty() {
        return Err(Hidden::Untried("the call did not leave from there".to_owned()));
    }
    match ends.iter().any(|end| is_same(*end, seen)) {
        true => Ok(()),
        false => Err(Hidden::Translated(seen)),
    }
}

/// An IPv4 address may be written as one of IPv6.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_trait::async_trait;
    use keyroll_codes::Code;
    use keyroll_http::via::{Dial, Dialed};
    use keyroll_logins::{Admin, Options, Redis};
    use keyroll_port::Class;
    use keyroll_rotation::{Delivery, ReloadMode};
    use keyroll_secret::{Fields, SecretBytes};

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn consumer(host: u16, attributable: bool) -> Consumer {
        Consumer {
            host: HostId(host),
            delivery: Delivery::Push,
            uptake: ReloadMode::Verb,
            files: Vec::new(),
            slots: 1,
            paths: 1,
            own_word: false,
            wave: 0,
            attributable,
        }
    }

    #[test]
    fn hosts_are_tried_whose_calls_would_be_evidence() {
        let consumers = [consumer(0, true), consumer(2, true), consumer(1, false), consumer(2, false)];
        assert_eq!(attributable(&consumers), BTreeSet::from([HostId(2)]));
    }

    #[test]
    fn a_call_is_attributed_by_address_and_port_of_a_connection_that_left_from_the_host() {
        let own = at("192.0.2.7:34100");
        for (seen, ends) in [
            (own, vec![own]),
            (own, vec![at("192.0.2.7:34000"), own]),
            (at("[::ffff:192.0.2.7]:34100"), vec![own]),
            (own, vec![at("[::ffff:192.0.2.7]:34100")]),
        ] {
            assert_eq!(judge(Ok(Some(seen)), &ends), Ok(()), "{seen} {ends:?}");
        }
        // A translation may keep the address, and another one the port.
        for seen in [at("192.0.2.7:40000"), at("203.0.113.7:34100")] {
            assert_eq!(judge(Ok(Some(seen)), &[own]), Err(Hidden::Translated(seen)));
        }
        assert!(matches!(judge(Ok(Some(own)), &[]), Err(Hidden::Untried(_))));
        assert_eq!(judge(Ok(None), &[own]), Err(Hidden::NotShown));
    }

    #[test]
    fn the_plan_says_what_the_issuer_sees_in_place_of_the_host() {
        let line = Hidden::Translated(at("203.0.113.7:40000")).line("web-2");
        assert_eq!(
            line,
            "calls of web-2 reach the issuer under another address (203.0.113.7): keyroll cannot see which process made \
             them; it asks for loaded and checked evidence there"
        );
        let failure = Failure::new(Class::Retryable, Code::RequestFailed, "ask db:5432").because("no route");
        let line = judge(Err(failure), &[]).unwrap_err().line("web-2");
        assert!(line.contains("process of web-2") && line.contains("no route"), "{line}");
        assert!(line.ends_with(INSTEAD) && Hidden::NotShown.line("web-2").ends_with(INSTEAD));
    }

    #[test]
    fn what_cannot_be_tried_when_a_plan_is_applied_is_as_it_was_planned() {
        let found = |planned| {
            let answers = [
                ("web-1", Ok(())),
                ("web-2", Err(Hidden::Untried("no route".to_owned()))),
                ("web-3", Err(Hidden::Translated(at("203.0.113.7:40000")))),
                ("web-4", Err(Hidden::NotShown)),
            ];
            let answers = answers.map(|(name, answer)| (name.to_owned(), answer));
            lines(BTreeMap::from(answers), planned).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(found(false), ["web-2", "web-3", "web-4"]);
        assert_eq!(found(true), ["web-3", "web-4"]);
    }

    /// A host on which something else listens at the endpoint.
    struct Other;

    #[async_trait]
    impl Dial for Other {
        async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
            panic!("{host}:{port} is another server there")
        }
    }

    #[tokio::test]
    async fn an_endpoint_of_this_machine_is_not_asked_of_another_host() {
        let password = || SecretBytes::from("a password".to_owned());
        let options = Options {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            slots: ["app_a", "app_b"].map(str::to_owned),
            root_certificates: None,
            admin: Admin { user: "keyroll".to_owned(), password: password() },
            request_ms_max: 1,
        };
        let issuer = Redis::issuer(options).unwrap();
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from("app_a".to_owned()), false);
        fields.insert("password", password(), true);
        let credential = Credential { id: None, fields };
        for dialer in [Some(Arc::new(Other) as Arc<dyn Dial>), None] {
            let tried = tried_from(dialer, &issuer, &credential).await;
            assert!(matches!(tried, Err(Hidden::Untried(_))), "{tried:?}");
        }
    }
}

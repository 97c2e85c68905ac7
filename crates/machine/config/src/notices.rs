//! Who is sent notices, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::period::read_period_within;
use crate::shape::RecipientShape;
use crate::{Kind, Name, Reference};

/// The most recipients.
const RECIPIENTS_MAX: usize = 16;
/// The most mail addresses of one recipient.
const ADDRESSES_MAX: usize = 16;
/// The longest mail address, bytes (RFC 5321).
const ADDRESS_BYTES_MAX: usize = 254;
/// The longest name of a host, bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
/// How often a notice is repeated, if nothing else is written.
const REMIND_DEFAULT: Duration = Duration::from_secs(86_400);
/// A shorter time would fill a mailbox.
const REMIND_MIN: Duration = Duration::from_secs(10);
/// A longer time is as good as never.
const REMIND_MAX: Duration = Duration::from_secs(90 * 86_400);

const SMTP_HELP: &str = "write smtps://HOST, smtp+starttls://HOST, or for a server on this machine \
                         smtp://127.0.0.1; a port may follow: smtps://mail.example.org:465";

/// Where notices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The name of the table.
    pub name: Name,
    /// How notices are sent.
    pub way: Way,
    /// The kinds of notices that are sent.
    pub on: BTreeSet<NoticeKind>,
    /// How often a notice is repeated while its reason lasts; none = never.
    pub remind_every: Option<Duration>,
}

/// How notices are sent. Every path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A POST of JSON in the form of Standard Webhooks.
    Webhook {
        /// The file of the address.
        url: PathBuf,
        /// The file of the secret that signs.
        secret: Option<PathBuf>,
    },
    /// Slack's incoming webhook, and what accepts the same form.
    Slack {
        /// The file of the address.
        url: PathBuf,
    },
    /// A mail.
    Mail {
        /// The server that takes it.
        server: MailServer,
        /// The address of the sender.
        from: String,
        /// The addresses that get it.
        to: Vec<String>,
        /// The file of the login: `user:password`.
        login: Option<PathBuf>,
    },
}

/// A server that takes mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: MailSecurity,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// Not at all: only to this machine.
    Plain,
    /// By STARTTLS, and nothing is sent without it.
    StartTls,
    /// From its first byte.
    Tls,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// A rotation waits for a person.
    Waiting,
    /// A rotation was rolled back or is stuck, or a scheduled one could not begin.
    Failed,
    /// A rotation ended well.
    Ended,
    /// A secret is due soon, is due and needs a person, or is overdue.
    Due,
    /// An incident was opened, or its state changed.
    Incident,
    /// The server itself cannot read its state.
    Server,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Failed, Self::Ended, Self::Due, Self::Incident, Self::Server];

    /// The word of the configuration and of the messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Ended => "ended",
            Self::Due => "due",
            Self::Incident => "incident",
            Self::Server => "server",
        }
    }

    fn read(text: &At<String>) -> Result<Self, Mistake> {
        let found = Self::ALL.into_iter().find(|kind| kind.word() == text.value);
        found.ok_or_else(|| Mistake::one_of("on", text, &Self::ALL.map(Self::word)))
    }
}

impl Recipient {
    /// Reads the tables, in the order of their names.
    pub(crate) fn all(
        shapes: &BTreeMap<At<String>, At<RecipientShape>>,
        folder: &Path,
        all: &mut Mistakes,
    ) -> Read<Vec<Self>> {
        if let Some(key) = shapes.keys().nth(RECIPIENTS_MAX) {
            let why = format!("there may be at most {RECIPIENTS_MAX} recipients of notices");
            all.push(Mistake::new(Kind::WrongForm, why).at(&key.span));
            return None;
        }
        let read: Vec<Read<Self>> =
            shapes.iter().map(|(key, shape)| Self::build(key, shape, folder, all)).collect();
        read.into_iter().collect()
    }

    fn build(key: &At<String>, shape: &At<RecipientShape>, folder: &Path, all: &mut Mistakes) -> Read<Self> {
        let on = all.note(kinds(shape.value.on.as_ref()));
        let remind_every = all.note(remind(shape.value.remind_every.as_ref()));
        let name = all.note(Name::read("a recipient", key))?;
        let table = format!("server.notices.{name}");
        let way = all.note(Way::build(&shape.value, &table, folder).map_err(|fault| fault.at(&key.span)))?;
        Some(Self { name, way, on: on?, remind_every: remind_every? })
    }
}

impl Way {
    fn build(shape: &RecipientShape, table: &str, folder: &Path) -> Result<Self, Mistake> {
        let file = |key: &str, text: &At<String>| -> Result<PathBuf, Mistake> {
            let Reference::File(path) = Reference::read(folder, &format!("{table}.{key}"), text)?;
            Ok(path)
        };
        let maybe = |key: &str, text: &Option<At<String>>| -> Result<Option<PathBuf>, Mistake> {
            text.as_ref().map(|text| file(key, text)).transpose()
        };
        let of_webhook = [("secret", span(&shape.secret))];
        let of_mail = [("from", span(&shape.from)), ("to", span(&shape.to)), ("login", span(&shape.login))];
        match (&shape.webhook, &shape.slack, &shape.smtp) {
            (Some(url), None, None) => {
                stray(&of_mail, "smtp")?;
                Ok(Self::Webhook { url: file("webhook", url)?, secret: maybe("secret", &shape.secret)? })
            }
            (None, Some(url), None) => {
                stray(&of_webhook, "webhook")?;
                stray(&of_mail, "smtp")?;
                Ok(Self::Slack { url: file("slack", url)? })
            }
            (None, None, Some(server)) => {
                stray(&of_webhook, "webhook")?;
                let missing = |key: &str| {
                    Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing")).at(&server.span)
                };
                let from = shape.from.as_ref().ok_or_else(|| missing("from"))?;
                let to = shape.to.as_ref().ok_or_else(|| missing("to"))?;
                let server = MailServer::read(server)?;
                if let (Some(login), MailSecurity::Plain) = (&shape.login, server.security) {
                    let why = "`login` would be sent without encryption";
                    return Err(Mistake::new(Kind::BadCombination, why)
                        .at(&login.span)
                        .help("write smtps:// or smtp+starttls://, or leave out the login"));
                }
                let login = maybe("login", &shape.login)?;
                Ok(Self::Mail { server, from: address("from", from)?, to: addresses(to)?, login })
            }
            (None, None, None) => {
                let why = "the recipient has none of `webhook`, `slack` and `smtp`";
                Err(Mistake::new(Kind::BadCombination, why).help("write exactly one of them"))
            }
            (_, slack, smtp) => {
                let why = "a recipient has exactly one of `webhook`, `slack` and `smtp`";
                let fault = Mistake::new(Kind::BadCombination, why);
                let second = [span(smtp), span(slack)].into_iter().flatten();
                Err(second.fold(fault, |fault, at| fault.at(at)).help("make a table for each of them"))
            }
        }
    }
}

fn span<T>(at: &Option<At<T>>) -> Option<&Range<usize>> {
    at.as_ref().map(|at| &at.span)
}

/// Refuses keys that belong to another way.
fn stray(keys: &[(&str, Option<&Range<usize>>)], belongs_to: &str) -> Result<(), Mistake> {
    let found = keys.iter().find_map(|(key, at)| at.map(|at| (key, at)));
    found.map_or(Ok(()), |(key, at)| {
        let why = format!("`{key}` goes with `{belongs_to}` alone");
        Err(Mistake::new(Kind::BadCombination, why).at(at).help(format!("remove `{key}`")))
    })
}

impl MailServer {
    fn read(text: &At<String>) -> Result<Self, Mistake> {
        let wrong =
            |why: &str| Mistake::new(Kind::WrongForm, format!("`smtp` {why}")).at(&text.span).help(SMTP_HELP);
        let (scheme, rest) =
            text.value.split_once("://").ok_or_else(|| wrong("is not the address of a mail server"))?;
        // The usual ports: RFC 5321, RFC 6409, RFC 8314.
        let (security, usual) = match scheme {
            "smtp" => (MailSecurity::Plain, 25),
            "smtp+starttls" => (MailSecurity::StartTls, 587),
            "smtps" => (MailSecurity::Tls, 465),
            _ => return Err(wrong("is not the address of a mail server")),
        };
        let (host, port) = host_and_port(rest, usual)
            .ok_or_else(|| wrong("must name a host and nothing else but a port"))?;
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if security == MailSecurity::Plain && !local {
            return Err(wrong("must be encrypted unless the server is on loopback"));
        }
        Ok(Self { host, port, security })
    }
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            let is_host = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(plain);
            is_host.then_some((host, port))?
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => usual,
        None => return None,
        Some(digits) => {
            let number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|port| number && *port != 0)?
        }
    };
    Some((host.to_owned(), port))
}

fn addresses(to: &At<Vec<At<String>>>) -> Result<Vec<String>, Mistake> {
    if !(1..=ADDRESSES_MAX).contains(&to.value.len()) {
        let why = format!("`to` must have 1 to {ADDRESSES_MAX} addresses");
        return Err(Mistake::new(Kind::WrongForm, why).at(&to.span));
    }
    to.value.iter().map(|text| address("to", text)).collect()
}

/// A bare mail address. The characters that separate or enclose addresses are refused: in a header they would make
/// another address of it.
fn address(key: &str, text: &At<String>) -> Result<String, Mistake> {
    let plain = |c: char| c.is_ascii_graphic() && !"<>(),;:\\\"[]".contains(c);
    let has_parts = text
        .value
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !has_parts || text.value.len() > ADDRESS_BYTES_MAX || !text.value.chars().all(plain) {
        return Err(Mistake::new(Kind::WrongForm, format!("`{key}` is not a mail address"))
            .at(&text.span)
            .help("write the address alone, in ASCII: ops@example.org"));
    }
    Ok(text.value.clone())
}

fn kinds(on: Option<&At<Vec<At<String>>>>) -> Result<BTreeSet<NoticeKind>, Mistake> {
    let Some(on) = on else { return Ok(NoticeKind::ALL.into()) };
    if on.value.is_empty() {
        return Err(Mistake::new(Kind::WrongForm, "`on` names no kind of notice")
            .at(&on.span)
            .help("leave out `on` for every kind, or remove the recipient"));
    }
    on.value.iter().map(NoticeKind::read).collect()
}

fn remind(text: Option<&At<String>>) -> Result<Option<Duration>, Mistake> {
    match text {
        Some(text) if text.value == "never" => Ok(None),
        text => read_period_within("remind_every", text, REMIND_DEFAULT, REMIND_MIN..=REMIND_MAX)
            .map(Some)
            .map_err(|fault| fault.help("write a length of time, such as `12h` or `1d`, or `never`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(tables: &str) -> Result<Vec<Recipient>, String> {
        let text = format!(
            "version = 1\n[server]\nlisten = \"127.0.0.1:9090\"\n[server.emergency]\n\
             admin_token = \"file:./admin-token\"\n{tables}"
        );
        let config = Config::parse(&text, "/x/keyroll.toml").map_err(|error| {
            let help = error.help().unwrap_or_default().to_owned();
            assert!(error.position().is_some_and(|at| at.line >= 6), "{error}");
            format!("{error} {help}")
        })?;
        Ok(config.server.unwrap().notices)
    }

    fn one(lines: &str) -> Result<Recipient, String> {
        read(&format!("[server.notices.a]\n{lines}\n")).map(|all| all.into_iter().next().unwrap())
    }

    fn mail(lines: &str) -> Result<Recipient, String> {
        one(&format!("from = \"keyroll@example.org\"\nto = [\"ops@example.org\"]\n{lines}"))
    }

    #[test]
    fn each_way_is_read_in_the_order_of_names() {
        let all = read(
            "[server.notices.oncall]\nwebhook = \"file:./oncall.url\"\nsecret = \"file:./oncall.secret\"\n\
             on = [\"failed\", \"waiting\"]\nremind_every = \"12h\"\n\
             [server.notices.mail]\nsmtp = \"smtp+starttls://mail.example.org\"\nfrom = \"keyroll@example.org\"\n\
             to = [\"ops@example.org\", \"ada+x@example.org\"]\nlogin = \"file:./smtp.login\"\nremind_every = \"never\"\n\
             [server.notices.team]\nslack = \"file:/etc/keyroll/slack.url\"\n",
        )
        .unwrap();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["mail", "oncall", "team"]);
        let server =
            MailServer { host: "mail.example.org".to_owned(), port: 587, security: MailSecurity::StartTls };
        assert_eq!(
            all[0].way,
            Way::Mail {
                server,
                from: "keyroll@example.org".to_owned(),
                to: vec!["ops@example.org".to_owned(), "ada+x@example.org".to_owned()],
                login: Some("/x/smtp.login".into()),
            }
        );
        assert_eq!((all[0].remind_every, all[0].on.len()), (None, 6));
        assert_eq!(
            all[1].way,
            Way::Webhook { url: "/x/oncall.url".into(), secret: Some("/x/oncall.secret".into()) }
        );
        assert_eq!(all[1].on, BTreeSet::from([NoticeKind::Waiting, NoticeKind::Failed]));
        assert_eq!(all[1].remind_every, Some(Duration::from_secs(43_200)));
        assert_eq!(all[2].way, Way::Slack { url: "/etc/keyroll/slack.url".into() });
        assert_eq!(all[2].remind_every, Some(Duration::from_secs(86_400)));
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_mail_server_is_encrypted_or_on_this_machine() {
        for (text, host, port, security) in [
            ("smtp://127.0.0.1", "127.0.0.1", 25, MailSecurity::Plain),
            ("smtp://localhost:2525", "localhost", 2525, MailSecurity::Plain),
            ("smtp://[::1]", "::1", 25, MailSecurity::Plain),
            ("smtps://mail.example.org", "mail.example.org", 465, MailSecurity::Tls),
            ("smtps://[2001:db8::1]:4650", "2001:db8::1", 4650, MailSecurity::Tls),
            ("smtp+starttls://mail.example.org:25", "mail.example.org", 25, MailSecurity::StartTls),
        ] {
            let read = mail(&format!("smtp = \"{text}\"")).unwrap();
            let Way::Mail { server, .. } = read.way else { panic!("{text}") };
            assert_eq!((server.host.as_str(), server.port, server.security), (host, port, security));
        }
        for (text, why) in [
            ("smtp://mail.example.org", "must be encrypted"),
            ("smtp://localhost.example.org", "must be encrypted"),
            ("smtp://0.0.0.0", "must be encrypted"),
            ("mail.example.org", "is not the address"),
            ("https://mail.example.org", "is not the address"),
            ("smtps://", "must name a host"),
            ("smtps://ada:canary@mail.example.org", "must name a host"),
            ("smtps://mail.example.org/x", "must name a host"),
            ("smtps://mail.example.org:0", "must name a host"),
            ("smtps://mail.example.org:+25", "must name a host"),
            ("smtps://mail.example.org:99999", "must name a host"),
            ("smtps://[::1", "must name a host"),
            ("smtps://[mail]", "must name a host"),
        ] {
            let said = mail(&format!("smtp = \"{text}\"")).unwrap_err();
            assert!(said.contains(why) && !said.contains("canary"), "{text}: {said}");
        }
    }

    #[test]
    fn an_address_is_one_and_only_one() {
        for bad in [
            "ops",
            "@example.org",
            "ops@",
            "a@b@c",
            "Ops <ops@example.org>",
            "ops@example.org, eve@example.org",
            "ops@example.org\\r\\nBcc: eve@example.org",
            "ops @example.org",
            "ops@ex\\u0000ample.org",
            "\\u00f6ps@example.org",
            "",
        ] {
            let from = format!("smtp = \"smtps://m\"\nfrom = \"{bad}\"\nto = [\"a@b\"]");
            let to = format!("smtp = \"smtps://m\"\nfrom = \"a@b\"\nto = [\"{bad}\"]");
            for text in [from, to] {
                let said = one(&text).unwrap_err();
                assert!(said.contains("is not a mail address") && !said.contains("eve"), "{bad}: {said}");
            }
        }
        let many = vec!["\"a@b\""; 17].join(", ");
        for to in [many.as_str(), ""] {
            let said = one(&format!("smtp = \"smtps://m\"\nfrom = \"a@b\"\nto = [{to}]")).unwrap_err();
            assert!(said.contains("1 to 16 addresses"), "{said}");
        }
    }

    #[test]
    fn keys_that_do_not_go_together_are_refused() {
        for (lines, why) in [
            ("on = [\"failed\"]", "none of `webhook`, `slack` and `smtp`"),
            ("webhook = \"file:./a\"\nslack = \"file:./b\"", "exactly one of"),
            ("slack = \"file:./a\"\nsmtp = \"smtps://m\"", "exactly one of"),
            ("webhook = \"file:./a\"\nto = [\"a@b\"]", "`to` goes with `smtp`"),
            ("slack = \"file:./a\"\nlogin = \"file:./b\"", "`login` goes with `smtp`"),
            ("slack = \"file:./a\"\nsecret = \"file:./b\"", "`secret` goes with `webhook`"),
            ("smtp = \"smtps://m\"\nto = [\"a@b\"]", "the key `from` is missing"),
            ("smtp = \"smtps://m\"\nfrom = \"a@b\"", "the key `to` is missing"),
            (
                "smtp = \"smtp://localhost\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nlogin = \"file:./l\"",
                "without encryption",
            ),
            ("webhook = \"https://hooks.example.org/canary\"", "never a value"),
            ("slack = \"file:./a\"\non = []", "names no kind"),
            ("slack = \"file:./a\"\non = [\"fail\"]", "did you mean `failed`?"),
            ("slack = \"file:./a\"\nremind_every = \"1s\"", "`never`"),
            ("slack = \"file:./a\"\nremind_every = \"0\"", "`never`"),
            ("slack = \"file:./a\"\nurl = \"x\"", "unknown key `url`"),
        ] {
            let said = one(lines).unwrap_err();
            assert!(said.contains(why) && !said.contains("canary"), "{lines}: {said}");
        }
        let many: String =
            (0..17).map(|at| format!("[server.notices.a{at}]\nslack = \"file:./a\"\n")).collect();
        assert!(read(&many).unwrap_err().contains("at most 16 recipients"));
        assert!(
            read("[server.notices.\"A b\"]\nslack = \"file:./a\"\n").unwrap_err().contains("a recipient")
        );
    }
}

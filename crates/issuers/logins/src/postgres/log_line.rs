//! Lines of the server's own log in its three forms. Source: PostgreSQL's manual, "Error Reporting and Logging".

use std::net::{IpAddr, SocketAddr};

use keyroll_port::RefusedUse;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// 28000: no login for this role. A wrong password is 28P01, and shows no use of the disabled credential.
const NOT_AUTHORIZED: &str = "28000";

/// The forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// `log_destination = 'jsonlog'`, from version 15 on.
    Jsonlog,
    /// `log_destination = 'csvlog'`.
    Csvlog,
    /// `log_destination = 'stderr'`: only the English message tells why the login was refused.
    Stderr,
}

impl Form {
    /// As `log_destination` and `pg_current_logfile` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jsonlog => "jsonlog",
            Self::Csvlog => "csvlog",
            Self::Stderr => "stderr",
        }
    }

    /// Whether a file of the log's folder has this form, by its name's end.
    pub(crate) fn is_of(self, file: &str) -> bool {
        match self {
            Self::Jsonlog => file.ends_with(".json"),
            Self::Csvlog => file.ends_with(".csv"),
            Self::Stderr => !file.ends_with(".json") && !file.ends_with(".csv"),
        }
    }

    /// The refused login of this role that a line shows.
    pub(crate) fn refused(self, line: &[u8], role: &str) -> Option<RefusedUse> {
        let line = std::str::from_utf8(line).ok()?;
        match self {
            Self::Jsonlog => json(line, role),
            Self::Csvlog => csv(line, role),
            Self::Stderr => plain(line, role),
        }
    }
}

fn json(line: &str, role: &str) -> Option<RefusedUse> {
    // Nearly every line is about something else: skip it without parsing.
    let value: Value = line.contains(NOT_AUTHORIZED).then(|| serde_json::from_str(line).ok())??;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("state_code") != Some(NOT_AUTHORIZED) || text("user") != Some(role) {
        return None;
    }
    let host = text("remote_host").unwrap_or_default();
    let port = value.get("remote_port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    Some(from(host, port))
}

/// Column by column: log_time, user_name, database_name, process_id, connection_from, …, 13th sql_state_code. A record
/// begins on a line of its own; the further lines of a long message do not have these columns.
fn csv(line: &str, role: &str) -> Option<RefusedUse> {
    let mut columns = Columns(line);
    let (_, user) = (columns.next()?, columns.next()?);
    let (_, _, client) = (columns.next()?, columns.next()?, columns.next()?);
    let state = columns.nth(7)?;
    if state != NOT_AUTHORIZED || user != role {
        return None;
    }
    let (host, port) = client.rsplit_once(':').unwrap_or((&client, ""));
    Some(from(host, port.parse().ok()))
}

/// The columns of one line; a quote in one is written twice.
struct Columns<'a>(&'a str);

impl Iterator for Columns<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(mut rest) = self.0.strip_prefix('"') {
            let mut text = String::new();
            loop {
                let (before, after) = rest.split_once('"')?;
                text.push_str(before);
                match after.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        rest = more;
                    }
                    None => {
                        self.0 = after.strip_prefix(',').or(after.is_empty().then_some(""))?;
                        return Some(text);
                    }
                }
            }
        }
        let (text, rest) = self.0.split_once(',')?;
        self.0 = rest;
        (!text.contains('"')).then(|| text.to_owned())
    }
}

/// `… FATAL: role "orders" is not permitted to log in`. The further lines of a long message begin with a tab.
fn plain(line: &str, role: &str) -> Option<RefusedUse> {
    let (before, message) = line.split_once("FATAL:  ").filter(|_| !line.starts_with('\t'))?;
    if message.trim_end() != format!("role \"{role}\" is not permitted to log in") {
        return None;
    }
    // `%r` is written `127.0.0.1(51324)`, `%h` without the port, wherever log_line_prefix has them.
    let words = before.split(|one: char| one.is_whitespace() || "[]@,;=".contains(one));
    let client = words.filter_map(|word| {
        let (host, port) = word.split_once('(').unwrap_or((word, ""));
        let host: IpAddr = host.parse().ok()?;
        Some((host, port.trim_end_matches([')', ':']).parse::<u16>().ok()))
    });
    let (host, port) = client
        .fold(None, |_, found| Some(found))
        .map_or((String::new(), None), |(host, port)| (host.to_string(), port));
    Some(from(&host, port))
}

fn from(host: &str, port: Option<u16>) -> RefusedUse {
    let address = host.parse::<IpAddr>().ok();
    let client = address.zip(port).map(|(address, port)| SocketAddr::new(address, port));
    let local = host == "[local]";
    let told = match (client, host) {
        (Some(_), _) | (None, "") => None,
        (None, _) if local => Some("a process on the server's machine, over its socket".to_owned()),
        (None, host) => Some(host.chars().filter(|one| !one.is_control()).take(120).collect()),
    };
    RefusedUse { client, told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(form: Form, line: &str) -> Option<Option<String>> {
        form.refused(line.as_bytes(), "orders").map(|used| used.client.map(|client| client.to_string()))
    }

    #[test]
    fn a_line_of_each_form_is_read() {
        let csv = |user: &str, from: &str, state: &str| {
            format!(
                "2026-11-20 19:00:00.000 UTC,{user},\"shop\",42,{from},655e.2a,2,\"authentication\",2026-11-20 19:00:00 \
                 UTC,3/4,0,FATAL,{state},\"role \"\"orders\"\" is not permitted to log in\",,,,,,,,,\"\",\"client backend\",,0"
            )
        };
        let seen = client(Form::Csvlog, &csv("\"orders\"", "\"127.0.0.1:4000\"", "28000"));
        assert_eq!(seen, Some(Some("127.0.0.1:4000".to_owned())));
        assert_eq!(client(Form::Csvlog, &csv("\"orders\"", "\"[local]\"", "28000")), Some(None));
        assert_eq!(
            client(Form::Csvlog, &csv("\"orders\"", "\"::1:4000\"", "28000")),
            Some(Some("[::1]:4000".to_owned()))
        );
        assert_eq!(
            client(Form::Csvlog, &csv("\"orders\"", "\"127.0.0.1:4000\"", "28P01")),
            None,
            "another value"
        );
        assert_eq!(client(Form::Csvlog, &csv("\"other\"", "\"127.0.0.1:4000\"", "28000")), None);
        // A statement that repeats such a line has its quotes doubled.
        let forged = csv("\"orders\"", "\"127.0.0.1:4000\"", "28000").replace('"', "\"\"");
        assert_eq!(client(Form::Csvlog, &forged), None);

        let json = r#"{"timestamp":"2026-11-20 19:00:00.000 UTC","user":"orders","pid":42,"remote_host":"127.0.0.1","remote_port":4000,"error_severity":"FATAL","state_code":"28000","message":"x"}"#;
        assert_eq!(client(Form::Jsonlog, json), Some(Some("127.0.0.1:4000".to_owned())));
        assert_eq!(client(Form::Jsonlog, &json.replace("28000", "28P01")), None);
        assert_eq!(client(Form::Jsonlog, &json.replace("orders", "orders2")), None);

        let message = "FATAL:  role \"orders\" is not permitted to log in";
        let prefixed = format!("2026-11-20 19:00:00 UTC [42] orders@shop 127.0.0.1(4000) {message}");
        assert_eq!(client(Form::Stderr, &prefixed), Some(Some("127.0.0.1:4000".to_owned())));
        assert_eq!(client(Form::Stderr, &format!("42 {message}")), Some(None));
        assert_eq!(client(Form::Stderr, &format!("\t{message}")), None, "a statement goes on with a tab");
        assert_eq!(client(Form::Stderr, &format!("LOG:  said {message}, they say")), None);
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;

use keyroll_port::{Clock, Host, Issuer, Journal, Staging, Store, Truth};

use crate::Spawner;

/// What a rotation is driven with.
#[derive(Clone)]
pub struct Ports {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// keyroll's own sealed store: every version of the secret.
    pub store: Arc<dyn Store>,
    /// The source of truth that consumers fetch from; `None` = the sealed store.
    pub truth: Option<Arc<dyn Truth>>,
    /// What the rotation received or chose, sealed before anybody else learns of it.
    pub staging: Arc<dyn Staging>,
    /// Who accepts the credential.
    pub issuer: Arc<dyn Issuer>,
    /// The machine that its consumers run on.
    pub host: Arc<dyn Host>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Keys at the issuer that another keyroll made: they are left alone.
    pub other_keys: OtherKeys,
    /// Where the calls to the other ports run.
    pub spawner: Arc<dyn Spawner>,
}

/// Keys at the issuer that another keyroll made, and where they are named.
#[derive(Debug, Clone, Default)]
pub struct OtherKeys {
    /// Those that are named, each by its id and its whole label.
    pub named: BTreeSet<(String, String)>,
    /// The table of the secret, called `NAMESPACE.NAME`, is written from a `SecretRotation` object: they are named there.
    pub in_object: bool,
}

impl OtherKeys {
    /// What the operator does about one that is not named: the command that names it. An id or a label that a shell would read
    /// otherwise is given as it is written in keyroll.toml; for an object, any is given as YAML has it.
    pub fn help(&self, secret: &str, id: &str, label: &str) -> String {
        if let Some((namespace, name)) = secret.split_once('.').filter(|_| self.in_object) {
            let (id, label) = (quoted(id), quoted(label));
            return format!(
                "kubectl -n {namespace} edit secretrotation {name}, and add {{ id: {id}, label: {label} }} to the list \
                 `spec.other_keys`, which leaves it alone"
            );
        }
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_.:@-".contains(&byte));
        if [secret, id, label].into_iter().all(plain) {
            return format!(
                "keyroll secret accept-key {secret} --id={id} --label={label} leaves it alone (it writes other_keys into \
                 keyroll.toml)"
            );
        }
        let (id, label) = (quoted(id), quoted(label));
        format!(
            "other_keys = [{{ id = {id}, label = {label} }}] of the secret in keyroll.toml leaves it alone"
        )
    }
}

/// A text as a string of TOML, which is one of YAML, too: what another party at the account chose is one string, whatever is
/// in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for one in text.chars() {
        match one {
            '"' | '\\' => quoted.extend(['\\', one]),
            ' '..='~' => quoted.push(one),
            other => quoted.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_party_chose_is_one_string_and_no_word_of_a_shell() {
        let other_key_help = |secret, id, label| OtherKeys::default().help(secret, id, label);
        let help = other_key_help("ring", "9f31", "keyroll/01b7/4");
        assert!(
            help.starts_with("keyroll secret accept-key ring --id=9f31 --label=keyroll/01b7/4 "),
            "{help}"
        );
        for id in ["a b", "$(id)", "a;b", "a\"b", "a\\", "\u{202e}"] {
            let help = other_key_help("ring", id, "keyroll/01b7/4");
            assert!(!help.contains("accept-key"), "{help}");
        }
        assert!(other_key_help("ring", "a\"}]\\\u{202e}", "l").contains(r#"id = "a\"}]\\\U0000202E","#));
    }

    #[test]
    fn a_key_is_named_in_the_object_that_its_secret_is_written_from() {
        let others = OtherKeys { in_object: true, ..OtherKeys::default() };
        let help = others.help("shop.open.router", "9f31", "keyroll/01b7/4");
        assert!(help.starts_with("kubectl -n shop edit secretrotation open.router, and add "), "{help}");
        assert!(
            help.contains(r#"{ id: "9f31", label: "keyroll/01b7/4" } to the list `spec.other_keys`"#),
            "{help}"
        );
        let odd = others.help("shop.a", "a\"}]\\\u{202e}", "l");
        assert!(odd.contains(r#"{ id: "a\"}]\\\U0000202E", label: "l" }"#), "{odd}");
    }
}

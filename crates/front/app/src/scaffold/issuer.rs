use keyroll_issuer::Spec;
use keyroll_trace::{Survey, SurveyedSecret};

/// Kinds of keys whose issuer is certain: the rule's id, the beginning of the value (if the rule has several), the
/// shipped spec.
const SURE: [(&str, &str, &str); 12] = [
    ("anthropic-api-key", "", "anthropic"),
    ("discord-bot-token", "", "discord"),
    ("github-classic-token", "ghp_", "github-classic"),
    ("github-fine-grained-token", "", "github-fine-grained"),
    ("gitlab-token", "glpat-", "gitlab"),
    ("gitlab-routable-token", "glpat-", "gitlab"),
    ("grafana-service-token", "", "grafana"),
    ("openai-service-account-key", "", "openai-service-account"),
    ("openrouter-api-key", "", "openrouter"),
    ("sendgrid-key", "", "sendgrid"),
    ("stripe-restricted-key", "", "stripe-restricted"),
    ("stripe-secret-key", "", "stripe-secret"),
];

/// The start of every placeholder that the operator must replace.
pub const FILL_IN: &str = "FILL-IN";

/// The issuer of a secret, as far as the form of its values tells.
pub(crate) struct Issuer {
    /// As it is written in the configuration.
    pub written: String,
    /// The admin credential's reference.
    pub admin: Option<String>,
    pub notes: Vec<String>,
    /// What the operator has to fill in.
    pub open: Vec<String>,
}

/// Judges by the form of the values only: names prove nothing.
pub(crate) fn issuer(survey: &Survey, found: &SurveyedSecret, name: &str) -> Issuer {
    let mut specs: Vec<Option<&'static str>> = Vec::new();
    let mut title = None;
    for id in &found.values {
        let Some(value) = survey.values.get(*id) else { continue };
        let begins = value.label(0).begins;
        let sure = value.rule.and_then(|rule| {
            title.get_or_insert(rule.title.as_str());
            SURE.iter().find(|(id, begin, _)| rule.id == *id && (begin.is_empty() || begins == *begin))
        });
        specs.push(sure.map(|(_, _, spec)| *spec));
    }
    let first = specs.first().copied().flatten();
    match first.filter(|spec| specs.iter().all(|other| *other == Some(spec))) {
        Some(spec) => shipped(name, spec, title.unwrap_or("key")),
        None => unknown(name, title),
    }
}

fn shipped(name: &str, spec: &str, title: &str) -> Issuer {
    let mut notes = vec![format!("it has the form of a {title}: keyroll issuers show {spec}")];
    let needs = Spec::shipped(spec).is_ok_and(|spec| spec.needs_admin());
    let admin = needs.then(|| format!("file:./{FILL_IN}-{name}-admin.key"));
    let mut open = Vec::new();
    if admin.is_some() {
        let what = "the file with the credential that may make and revoke such keys, mode 0600";
        notes.push(format!("fill in `admin`: {what}"));
        open.push(format!("{name}: `admin`, {what}"));
    }
    Issuer { written: spec.to_owned(), admin, notes, open }
}

/// Names a spec file that does not exist. `doctor` reports it until the operator has named the right one.
fn unknown(name: &str, title: Option<&str>) -> Issuer {
    let mut notes = Vec::new();
    if let Some(title) = title {
        notes.push(format!("it has the form of: {title}"));
    }
    let what = "its form does not identify the issuer";
    notes.push(format!(
        "fill in `issuer` ({what}): a name from keyroll issuers list, {}, {}, \
         or your own spec (docs/guides/write-an-issuer.md); and `admin` if it needs one",
        keyroll_config::IssuerRef::server_words().join(", "),
        keyroll_config::IssuerRef::aws_word()
    ));
    let open = vec![format!("{name}: `issuer`, {what}; `admin` if it needs one")];
    Issuer { written: format!("file:./{FILL_IN}-{name}-issuer.toml"), admin: None, notes, open }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sure_kind_is_a_rule_and_a_shipped_spec() {
        let rules = keyroll_leak::Rules::shipped().unwrap();
        for (id, begins, spec) in SURE {
            let rule =
                rules.iter().find(|rule| rule.id == id).unwrap_or_else(|| panic!("there is no rule {id}"));
            assert!(begins.is_empty() || rule.begins.iter().any(|own| own == begins), "{id}: {begins}");
            assert!(Spec::shipped(spec).is_ok(), "there is no spec {spec}");
        }
    }
}

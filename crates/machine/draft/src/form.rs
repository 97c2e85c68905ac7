//! What the form of values says of their issuer.

use keyroll_trace::{Survey, SurveyedSecret, ValueId, Values};

/// Kinds of keys whose issuer is certain: the rule's id, the beginning of the value (if the rule has several), the
/// shipped spec.
pub const SURE: [(&str, &str, &str); 12] = [
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

/// What the form of a secret's values says of its issuer. Names prove nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The shipped spec of the only issuer that has values of this form.
    pub issuer: Option<String>,
    /// What has this form.
    pub title: Option<String>,
}

impl Form {
    /// What the form of a found secret says.
    pub(crate) fn of(survey: &Survey, found: &SurveyedSecret) -> Self {
        Self::of_values(&survey.values, &found.values)
    }

    /// Judges by these values. Where they differ in their issuer, it is unknown.
    pub fn of_values(values: &Values, own: &[ValueId]) -> Self {
        let mut specs: Vec<Option<&'static str>> = Vec::new();
        let mut title = None;
        for id in own {
            let Some(value) = values.get(*id) else { continue };
            let begins = value.label(0).begins;
            let sure = value.rule.and_then(|rule| {
                title.get_or_insert(rule.title.as_str());
                SURE.iter().find(|(id, begin, _)| rule.id == *id && (begin.is_empty() || begins == *begin))
            });
            specs.push(sure.map(|(_, _, spec)| *spec));
        }
        let first = specs.first().copied().flatten();
        let issuer = first.filter(|spec| specs.iter().all(|other| *other == Some(spec)));
        Self { issuer: issuer.map(str::to_owned), title: title.map(str::to_owned) }
    }
}

use std::collections::BTreeSet;

use super::remark::Remark;
use crate::document::Document;

/// Hosts of documents, which the author of the spec has not replaced.
pub(crate) fn judge(document: &Document) -> Vec<Remark> {
    let mut hosts: Vec<(String, &str)> = Vec::new();
    let callers = document.auth.admin.iter().map(|admin| ("auth.admin", admin));
    for (key, caller) in callers.chain([("auth.self", &document.auth.own)]) {
        let named = caller.hosts.iter().enumerate();
        hosts.extend(named.map(|(number, host)| (format!("{key}.hosts.{number}"), host.name.as_str())));
    }
    if let Some(human) = &document.human {
        hosts.push(("human.url".to_owned(), host_of(&human.url)));
        let other = human.revoke_url.iter().map(|url| ("human.revoke_url".to_owned(), host_of(url)));
        hosts.extend(other);
    }
    let mut seen = BTreeSet::new();
    let reserved = hosts.into_iter().filter(|(_, host)| is_reserved(host) && seen.insert(*host));
    let remark = |(key, _)| Remark {
        rule: "example-host",
        key,
        message: "this host is reserved for examples: it is no issuer's".to_owned(),
        help: "write the host of your issuer here and in every url".to_owned(),
    };
    reserved.map(remark).collect()
}

/// The host of an `https://` address.
fn host_of(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    rest.split(['/', ':', '?', '#']).next().unwrap_or_default()
}

/// Names that RFC 2606 reserves for documents. `none.invalid` is not an oversight: the guide names it for a spec that sends
/// nothing.
fn is_reserved(host: &str) -> bool {
    let below = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let reserved = ["example", "example.com", "example.net", "example.org", "invalid"];
    host != "none.invalid" && reserved.into_iter().any(below)
}

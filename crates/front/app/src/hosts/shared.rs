use std::collections::BTreeMap;

use super::seen::HostSeen;
use super::shown::SharedShown;

/// The values that several hosts have, each with the name of its secret on each host. Values are compared by their whole
/// fingerprints; two that only have the same label are two.
pub fn shared(all: &[HostSeen]) -> Vec<SharedShown> {
    let mut holders: BTreeMap<&[u8; 32], SharedShown> = BTreeMap::new();
    for seen in all {
        for (print, secret) in &seen.named {
            let label = seen.prints.get(print).cloned().unwrap_or_default();
            let shown = holders.entry(print).or_insert_with(|| SharedShown { label, secrets: Vec::new() });
            shown.secrets.push((seen.host.clone(), secret.clone()));
        }
    }
    let mut several: Vec<SharedShown> =
        holders.into_values().filter(|shown| shown.secrets.len() > 1).collect();
    several.sort_by(|one, other| (&one.secrets, &one.label).cmp(&(&other.secrets, &other.label)));
    several
}

#[cfg(test)]
mod tests {
    use super::super::seen::HostReport;
    use super::*;

    fn seen(host: &str, values: &[(u8, &str, &str)]) -> HostSeen {
        let of = |which: fn(&(u8, &str, &str)) -> String| {
            values.iter().map(|value| ([value.0; 32], which(value))).collect()
        };
        HostSeen {
            host: host.to_owned(),
            cluster: false,
            scans: Vec::new(),
            prints: of(|value| value.1.to_owned()),
            named: of(|value| value.2.to_owned()),
            report: HostReport::Trace(None),
            missed: Vec::new(),
            refused: false,
        }
    }

    #[test]
    fn a_value_is_the_same_by_its_fingerprint_and_not_by_its_label() {
        let all = [
            seen("web-1", &[(1, "sk-…·9f3c21", "openai"), (2, "…·aaaaaa", "db")]),
            seen("web-2", &[(1, "sk-…·9f3c21", "chat")]),
            seen("web-3", &[(3, "…·aaaaaa", "db")]),
        ];
        let pair = |host: &str, secret: &str| (host.to_owned(), secret.to_owned());
        assert_eq!(
            shared(&all),
            [SharedShown {
                label: "sk-…·9f3c21".to_owned(),
                secrets: vec![pair("web-1", "openai"), pair("web-2", "chat")],
            }]
        );
    }
}

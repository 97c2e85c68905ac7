use serde::Serialize;

/// A host that was waived in a rotation, and does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostLeft {
    /// Its name in keyroll.toml.
    pub name: String,
    /// The secret of the rotation.
    pub secret: String,
    /// The rotation.
    pub rotation: String,
    /// Why it was waived, if that is known.
    pub reason: Option<String>,
    /// The rotation has ended, and the host was not seen again.
    pub ended: bool,
    /// The key that stays: `new`, or `old` in a rollback.
    pub stays: &'static str,
    /// The consumers of the secret on it.
    pub consumers: Vec<ConsumerLeft>,
    /// The command that continues the rotation; none once it has ended.
    pub next: Option<String>,
}

/// A consumer on such a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerLeft {
    /// Its name.
    pub name: String,
    /// The key that it has, as far as keyroll knows: `old`, `new`, or `old or new`.
    pub key: &'static str,
    /// Its copies: `web-3:/srv/api.env`.
    pub copies: Vec<String>,
}

impl HostLeft {
    /// For people, in several lines.
    pub fn text(&self) -> String {
        let lines = if self.ended { self.at_the_end() } else { self.while_open() };
        lines.join("\n")
    }

    /// The key that goes.
    fn goes(&self) -> &'static str {
        if self.stays == "new" { "old" } else { "new" }
    }

    /// Whether a consumer there may have the key that goes.
    fn may_lose_access(&self) -> bool {
        self.consumers.iter().any(|consumer| consumer.key != self.stays)
    }

    fn while_open(&self) -> Vec<String> {
        let Self { name, secret, stays, .. } = self;
        let goes = self.goes();
        let mut lines = vec![format!("waived for {secret}: the host {name}, as long as it is away")];
        lines.extend(self.consumers.iter().map(|consumer| match consumer.key {
            key if key == *stays => format!("  {} has the {stays} key", consumer.name),
            key if key == goes => format!("  {} is not moved: it has the {goes} key", consumer.name),
            _ => format!("  {} is not moved any further: it may have the {goes} key", consumer.name),
        }));
        let copies: Vec<&str> = self.consumers.iter().flat_map(|it| &it.copies).map(String::as_str).collect();
        if !copies.is_empty() {
            lines.push(format!("  not looked at while it is away: {}", copies.join(", ")));
        }
        lines.push(format!(
            "  see that {name} is off: if keyroll alone cannot reach it, what runs there loses the {goes} key"
        ));
        lines.push(match self.consumers.is_empty() {
            true => {
                "  back before the end: keyroll sees it at its next look, and searches it again".to_owned()
            }
            false => {
                format!(
                    "  back before the end: keyroll sees it at its next look, and moves it to the {stays} key"
                )
            }
        });
        if self.may_lose_access() {
            lines.push(format!(
                "  back after the end: the {goes} key is dead there; keep it off until its copies have the {stays} key"
            ));
        }
        lines.extend(self.next.iter().map(|next| format!("next: {next}")));
        lines
    }

    fn at_the_end(&self) -> Vec<String> {
        let Self { name, secret, stays, .. } = self;
        let goes = self.goes();
        let why = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let mut lines = vec![format!("{name} was waived{why}, and was not seen again")];
        lines.extend(self.consumers.iter().map(|consumer| {
            let copies = match consumer.copies.as_slice() {
                [] => String::new(),
                all => format!(": {}", all.join(", ")),
            };
            match consumer.key {
                key if key == *stays => format!("  {} has the {stays} key{copies}", consumer.name),
                key if key == goes => {
                    format!(
                        "  {} still has the {goes} key, which is not the current one{copies}",
                        consumer.name
                    )
                }
                _ => {
                    format!(
                        "  {} may have the {goes} key, which is not the current one{copies}",
                        consumer.name
                    )
                }
            }
        }));
        if self.may_lose_access() {
            lines.push(format!(
                "  if it comes back: keep its consumers off, write the {stays} key into these copies by hand, start \
                 the consumers, then keyroll plan {secret}"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(ended: bool, stays: &'static str, key: &'static str) -> HostLeft {
        HostLeft {
            name: "web-3".to_owned(),
            secret: "orders".to_owned(),
            rotation: "01a2".to_owned(),
            reason: Some("its disk is dead".to_owned()),
            ended,
            stays,
            consumers: vec![ConsumerLeft {
                name: "api@web-3".to_owned(),
                key,
                copies: vec!["web-3:/srv/api.env".to_owned()],
            }],
            next: (!ended).then(|| "keyroll resume 01a2".to_owned()),
        }
    }

    #[test]
    fn a_waived_host_is_shown_with_what_follows_and_the_next_command() {
        assert_eq!(
            left(false, "new", "old").text(),
            "waived for orders: the host web-3, as long as it is away\n  api@web-3 is not moved: it has the old key\n  \
             not looked at while it is away: web-3:/srv/api.env\n  see that web-3 is off: if keyroll alone cannot reach \
             it, what runs there loses the old key\n  back before the end: keyroll sees it at its next look, and moves it \
             to the new key\n  back after the end: the old key is dead there; keep it off until its copies have the new \
             key\nnext: keyroll resume 01a2"
        );
    }

    #[test]
    fn the_key_that_is_dead_on_a_host_is_the_new_one_after_a_rollback() {
        for (stays, goes) in [("new", "old"), ("old", "new")] {
            for ended in [false, true] {
                let text = left(ended, stays, goes).text();
                assert!(text.contains(&format!("has the {goes} key")), "{text}");
                assert!(text.contains(&format!("the {stays} key")), "{text}");
                let unknown = left(ended, stays, "old or new").text();
                assert!(unknown.contains(&format!("may have the {goes} key")), "{unknown}");
            }
        }
    }

    #[test]
    fn a_host_with_the_key_that_stays_needs_nothing_when_it_is_back() {
        for ended in [false, true] {
            let text = left(ended, "new", "new").text();
            assert!(text.contains("api@web-3 has the new key"), "{text}");
            assert!(!text.contains("by hand") && !text.contains("is dead there"), "{text}");
        }
    }
}

//! What an inspection could not see, as its lines say it.

/// One thing that is not visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unseen {
    /// The machine, if it is another one than this.
    pub(crate) host: Option<String>,
    /// What is not visible there.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

impl Unseen {
    /// Reads a line `what: why`. The line of another machine begins with its name: `web-1: what: why`, or
    /// `web-1: could not reach …` if nothing of it is visible.
    pub(crate) fn of(line: &str, is_host: &dyn Fn(&str) -> bool) -> Self {
        let there = line.split_once(": ").filter(|(host, _)| is_host(host));
        let (host, rest) = there.map_or((None, line), |(host, rest)| (Some(host), rest));
        let (what, why) = match host {
            Some(_) if rest.starts_with("could not ") => ("everything", rest),
            Some(_) | None => rest.split_once(": ").unwrap_or((rest, "")),
        };
        Self { host: host.map(str::to_owned), what: what.to_owned(), why: why.to_owned() }
    }

    /// What is not visible, with its machine.
    pub(crate) fn named(&self) -> String {
        match &self.host {
            Some(host) => format!("{} on {host}", self.what),
            None => self.what.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_things_of_one_host_are_two_and_the_same_thing_of_two_hosts_is_two() {
        let of = |line: &str| {
            let unseen = Unseen::of(line, &|name| name.starts_with("web-"));
            (unseen.named(), unseen.why)
        };
        let is = |what: &str, why: &str| (what.to_owned(), why.to_owned());
        assert_eq!(
            of("web-1: memory of process 7: no right"),
            is("memory of process 7 on web-1", "no right")
        );
        assert_eq!(of("web-1: logs: a: b"), is("logs on web-1", "a: b"));
        assert_eq!(of("web-2: logs: a: b"), is("logs on web-2", "a: b"));
        assert_eq!(
            of("web-1: could not reach web-1: no route"),
            is("everything on web-1", "could not reach web-1: no route")
        );
        assert_eq!(of("logs: a: b"), is("logs", "a: b"));
        assert_eq!(of("logs"), is("logs", ""));
    }
}

//! The base file while a server runs: people change it, and the server goes on.

use std::path::Path;

use keyroll_config::Config;

use crate::base::{BadBase, Base};

/// The base file as it was at the start, and as it counts now.
#[derive(Debug)]
pub struct Bases {
    /// What the server watches.
    start: Base,
    /// The last one that can be used.
    last: Base,
    /// The text that was looked at last; none: it could not be read.
    seen: Option<String>,
    /// Why that one does not count.
    stale: Option<String>,
}

impl Bases {
    /// Those of a server that begins with this one.
    pub fn new(start: Base) -> Self {
        Self { last: start.clone(), seen: None, stale: None, start }
    }

    /// The one that counts.
    pub fn last(&self) -> &Base {
        &self.last
    }

    /// Looks at the file again. `Some`: why it does not count as it is now, and what to do; the one before counts on.
    pub fn look(&mut self, path: &Path) -> Option<String> {
        self.take(path, Config::text(path).map_err(BadBase::from))
    }

    /// Takes in the text of the file. Only a text that is new is checked.
    fn take(&mut self, path: &Path, text: Result<String, BadBase>) -> Option<String> {
        if text.is_ok() && self.seen.as_ref() == text.as_ref().ok() {
            return self.stale.clone();
        }
        self.seen = text.as_ref().ok().cloned();
        let read = text.and_then(|text| Base::parse(path, &text));
        let fits = read.map_err(|error| bad(&error)).and_then(|read| match read.goes_on(&self.start) {
            Ok(()) => Ok(read),
            Err(why) => Err(format!("{}: {why}; to use it: restart keyroll", path.display())),
        });
        self.stale = match fits {
            Ok(read) => {
                self.last = read;
                None
            }
            Err(why) => {
                Some(format!("the base file was changed and is not used, the one before counts on: {why}"))
            }
        };
        self.stale.clone()
    }
}

/// What is wrong and what to do, in a line.
fn bad(error: &BadBase) -> String {
    match &error.help {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tests::{BASE, base, base_of};

    fn path() -> &'static Path {
        Path::new("/etc/keyroll/base.toml")
    }

    /// What is said of this text by a server that began with the usual one, which counts on.
    fn refused(text: &str) -> String {
        let mut bases = Bases::new(base());
        let said = bases.take(path(), Ok(text.to_owned())).unwrap();
        assert!(said.starts_with("the base file was changed and is not used"), "{said}");
        assert_eq!(bases.last().text(), BASE);
        assert_eq!(
            bases.take(path(), Ok(text.to_owned())),
            Some(said.clone()),
            "it is said as long as it is so"
        );
        assert_eq!(bases.take(path(), Ok(BASE.to_owned())), None);
        said
    }

    #[test]
    fn what_the_server_watches_is_that_of_its_start() {
        let other = "[hosts.other]\nconnect = \"kube://in-cluster/other\"\n";
        for (from, to, why) in [
            ("in-cluster/shop", "in-cluster/shop-2", "[hosts.shop] is another namespace"),
            ("kube://prod/", "kube://stage/", "[hosts.ops] is another namespace, or reached in another way"),
            ("/etc/keyroll/kubeconfig", "/etc/keyroll/kubeconfig-2", "[hosts.ops] is another namespace"),
            ("in-cluster/keyroll", "in-cluster/keyroll-2", "[hosts.keyroll] is another namespace"),
            ("home = \"keyroll\"", "home = \"shop\"", "`server.kubernetes.home` is another host"),
            ("[server.kubernetes.namespaces.ops]", "", "[server.kubernetes.namespaces.ops] was there"),
            (
                "[server.kubernetes.namespaces.ops]",
                "[server.kubernetes.namespaces.ops]\n[server.kubernetes.namespaces.keyroll]",
                "[server.kubernetes.namespaces.keyroll] was not there",
            ),
        ] {
            assert!(BASE.contains(from), "{from}");
            let said = refused(&BASE.replace(from, to));
            assert!(said.contains(why) && said.contains("restart keyroll"), "{said}");
        }
        assert_eq!(base_of(&format!("{BASE}{other}")).unwrap().goes_on(&base()), Ok(()));
    }

    #[test]
    fn a_base_file_with_a_mistake_does_not_end_what_counts() {
        let said = refused(&BASE.replace("home", "hom"));
        assert!(said.contains("unknown key `hom`") && said.contains("did you mean `home`?"), "{said}");
        refused("");
        let mut bases = Bases::new(base());
        let none = Path::new("/nonexistent/base.toml");
        assert!(bases.look(none).is_some());
        assert_eq!(bases.last().text(), BASE);
        assert_eq!(bases.take(path(), Ok(BASE.to_owned())), None);
    }

    #[test]
    fn another_change_counts_at_once_and_stays_when_the_next_is_a_mistake() {
        let mut bases = Bases::new(base());
        let changed = BASE.replace("aws-sm:shop/", "aws-sm:other/");
        assert_eq!(bases.take(path(), Ok(changed.clone())), None);
        assert_eq!(bases.last().text(), changed);
        assert!(bases.take(path(), Ok("version".to_owned())).is_some());
        assert_eq!(bases.last().text(), changed);
    }
}

use std::collections::BTreeMap;

use keyroll_trace::Unseen;

use crate::context::Context;
use crate::ui::Event;

/// How many places of one reason are named.
const NAMED_MAX: usize = 3;

/// The kinds of what was not seen, by how it begins, with the words for several.
const KINDS: [(&str, &str); 3] = [
    ("process ", "processes"),
    ("memory of process ", "the memory of processes"),
    ("/", "files and folders"),
];

/// Says what could not be looked at, summed up by reason and user, with the command that would show more.
pub(crate) fn tell_missed(unseen: &[Unseen], context: &mut Context) {
    let mut sums: BTreeMap<(&str, Option<u32>, &str), Vec<&str>> = BTreeMap::new();
    for one in unseen {
        let kind = KINDS.iter().find(|(begin, _)| one.what.starts_with(begin)).map_or("", |(_, many)| *many);
        // Whose file it is says nothing; whose process it is does.
        let uid = one.uid.filter(|_| kind != "files and folders");
        sums.entry((one.reason.as_str(), uid, kind)).or_default().push(&one.what);
    }
    let users = users();
    for ((reason, uid, kind), mut all) in sums {
        all.sort_unstable();
        all.dedup();
        let whose =
            uid.map(|uid| users.get(&uid).map_or_else(|| format!("user {uid}"), |name| format!("'{name}'")));
        let whose = whose.map(|whose| format!(" of {whose}")).unwrap_or_default();
        let what = match all.as_slice() {
            [only] => format!("{only}{whose}"),
            all if kind.is_empty() || kind == "files and folders" => summed(all),
            all => format!("{}{whose}", counted(kind, all.len())),
        };
        context.ui.event(Event::NotVisible { what, why: reason.to_owned() });
    }
    let refused = unseen.iter().any(|one| {
        let reason = one.reason.to_ascii_lowercase();
        ["permission", "not permitted", "hidepid", "closed on this machine"]
            .iter()
            .any(|why| reason.contains(why))
    });
    if refused && !rustix::process::geteuid().is_root() {
        context.ui.note("to see more: the same command with sudo");
    }
}

/// `6 processes`, `the memory of 6 processes`.
fn counted(kind: &str, count: usize) -> String {
    match kind.strip_suffix("processes") {
        Some(before) => format!("{before}{count} processes"),
        None => format!("{count} {kind}"),
    }
}

fn summed(all: &[&str]) -> String {
    let named = all.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The users of this machine by number, as /etc/passwd has them.
fn users() -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut parts = line.split(':');
        let name = parts.next()?.to_owned();
        Some((parts.nth(1)?.parse().ok()?, name))
    };
    text.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_summed_up() {
        assert_eq!(counted("the memory of processes", 6), "the memory of 6 processes");
        assert_eq!(counted("processes", 2), "2 processes");
        assert_eq!(summed(&["/a", "/b", "/c", "/d", "/e"]), "/a, /b, /c and 2 more");
    }
}

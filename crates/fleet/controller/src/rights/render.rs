//! Roles as YAML with comments.

use std::fmt::Write as _;

use super::account::{Account, RBAC, Rule};

/// The longest line of a comment, without its sign.
const COMMENT_MAX: usize = 108;
/// What YAML reads as something else than a text.
const WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];

/// A Role and its RoleBinding.
pub(super) fn role(account: &Account, namespace: &str, rules: &[Rule]) -> String {
    let (name, namespace) = (text(&account.name), text(namespace));
    let mut all = String::new();
    head(&mut all, "Role", &name, &namespace);
    all.push_str("rules:\n");
    for one in rules {
        rule(&mut all, one);
    }
    all.push_str("---\n");
    head(&mut all, "RoleBinding", &name, &namespace);
    let home = text(&account.namespace);
    // Writing to a text does not fail.
    let _ = write!(
        all,
        "roleRef:\n  apiGroup: {RBAC}\n  kind: Role\n  name: {name}\nsubjects:\n- kind: ServiceAccount\n  name: {name}\n  \
         namespace: {home}\n"
    );
    all
}

fn head(all: &mut String, kind: &str, name: &str, namespace: &str) {
    let _ = write!(
        all,
        "apiVersion: {RBAC}/v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
    );
}

fn rule(all: &mut String, rule: &Rule) {
    comment(all, rule.why);
    let group = if rule.api_group.is_empty() { "\"\"" } else { rule.api_group };
    let _ = write!(all, "- apiGroups: [{group}]\n  resources: [{}]\n", rule.resources.join(", "));
    if !rule.names.is_empty() {
        let names: Vec<String> = rule.names.iter().map(|name| text(name)).collect();
        let _ = writeln!(all, "  resourceNames: [{}]", names.join(", "));
    }
    let _ = writeln!(all, "  verbs: [{}]", rule.verbs.join(", "));
}

/// A comment in lines that are not too long.
fn comment(all: &mut String, why: &str) {
    let mut line = String::new();
    for word in why.split(' ') {
        if !line.is_empty() && line.len().saturating_add(word.len()) >= COMMENT_MAX {
            let _ = writeln!(all, "#{line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(all, "#{line}");
}

/// A name as a text: `on`, `null` and `123` are names, and something else without quotes.
fn text(name: &str) -> String {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    match begins && plain && name != "null" && !WORDS.contains(&name) {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_a_number_or_a_flag_is_quoted() {
        for (name, shown) in [
            ("agent-v1.2", "agent-v1.2"),
            ("123", "\"123\""),
            ("1e5", "\"1e5\""),
            ("on", "\"on\""),
            ("null", "\"null\""),
            ("nulls", "nulls"),
        ] {
            assert_eq!(text(name), shown);
        }
    }

    #[test]
    fn a_comment_has_no_long_line_and_loses_no_word() {
        let (mut all, why) = (String::new(), "word ".repeat(60).trim().to_owned());
        comment(&mut all, &why);
        assert!(all.lines().count() > 1 && all.lines().all(|line| line.len() <= COMMENT_MAX + 1), "{all}");
        assert_eq!(all.split_whitespace().filter(|word| *word != "#").count(), 60, "{all}");
    }
}

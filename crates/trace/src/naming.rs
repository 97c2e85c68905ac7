use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_leak::{named_for, names_a_secret};

/// The longest name of a secret, bytes: what a configuration takes.
const NAME_BYTES_MAX: usize = 64;

/// What a secret is called by the names that its values have, by who issues it, or by the file that it stands in.
pub(crate) fn name_of<'a>(
    names: impl Iterator<Item = &'a str>,
    provider: Option<&str>,
    file: Option<&Path>,
) -> String {
    let [mut sure, mut other, mut weak]: [BTreeMap<String, usize>; 3] = Default::default();
    for name in names {
        let last = name.rsplit('.').next().unwrap_or(name);
        let (count, whose) = match (named_for(name), names_a_secret(last)) {
            (Some(whose), true) => (&mut sure, whose),
            (Some(whose), false) => (&mut other, whose),
            (None, true) => (&mut weak, last.to_owned()),
            (None, false) => continue,
        };
        *count.entry(whose).or_default() += 1;
    }
    // Of those that are as frequent the first by the alphabet, so that the name stays.
    let most = |counts: BTreeMap<String, usize>| {
        counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    };
    let provider = || provider.filter(|provider| !provider.is_empty()).map(str::to_owned);
    let stem = || Some(file?.file_stem()?.to_string_lossy().into_owned());
    let name = most(sure).or_else(provider).or_else(|| most(other)).or_else(|| most(weak)).or_else(stem);
    plain(&name.unwrap_or_else(|| "unnamed".to_owned()))
}

/// Tells secrets of one name apart by where they are, then by a number. `taken` are names that stay as they are.
pub(crate) fn told_apart(names: &mut [(String, String)], taken: &BTreeSet<String>) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().for_each(|(name, _)| *count.entry(name.clone()).or_default() += 1);
    let mut given = taken.clone();
    for (name, place) in names {
        if (count.get(name.as_str()).is_some_and(|count| *count > 1) || taken.contains(name.as_str()))
            && !place.is_empty()
        {
            *name = plain(&format!("{name}.{place}"));
        }
        let base = name.clone();
        for number in 2.. {
            if given.insert(name.clone()) {
                break;
            }
            *name = format!("{base}.{number}");
        }
    }
}

/// With the letters that a configuration's names have.
fn plain(name: &str) -> String {
    let good = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => letter,
        _ => '-',
    };
    let text: String = name.chars().map(good).take(NAME_BYTES_MAX).collect();
    let text = text.trim_matches(['-', '.']).to_owned();
    if text.is_empty() { "unnamed".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_called_by_its_most_frequent_name_then_by_its_issuer() {
        let named = |names: &[&str], provider| name_of(names.iter().copied(), provider, None);
        assert_eq!(named(&["OPENAI_API_KEY", "AI_KEY", "openai.apiKey"], Some("x")), "openai");
        assert_eq!(named(&["apiKey"], Some("anthropic")), "anthropic");
        assert_eq!(named(&["DATABASE_URL", "DB_PASSWORD"], None), "db");
        assert_eq!(named(&["DATABASE_URL"], None), "database-url");
        assert_eq!(named(&["password"], None), "password");
        let key = Path::new("/etc/ssl/private/Shop_front.key");
        assert_eq!(name_of([].into_iter(), None, Some(key)), "shop_front");
        assert_eq!(named(&[], None), "unnamed");
        assert_eq!(named(&["B_TOKEN", "A_TOKEN"], None), "a");
    }

    #[test]
    fn two_of_one_name_get_their_place_and_what_is_configured_stays() {
        let pair = |name: &str, place: &str| (name.to_owned(), place.to_owned());
        let mut names = [
            pair("openai", "shop"),
            pair("openai", "mail"),
            pair("openai", "mail"),
            pair("db", "shop"),
            pair("x", ""),
        ];
        told_apart(&mut names, &BTreeSet::from(["db".to_owned()]));
        let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["openai.shop", "openai.mail", "openai.mail.2", "db.shop", "x"]);
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use keyroll_leak::{
    MASK, NAME_BYTES_MAX, Rules, looks_like_name, mask_parts, named_for, names_a_key, names_a_secret,
};
use keyroll_needle::Needles;

use crate::{Survey, Values};

/// The name of a secret of which nothing shows one.
pub(crate) const UNNAMED: &str = "unnamed";

/// Decides which names may be shown. A document may have values as keys, a table may have one where others have a name,
/// and a file may be named after one. Once such a name is shortened or in small letters, no search finds the value in
/// it.
pub struct Names {
    needles: Option<Arc<Needles>>,
    rules: Option<&'static Rules>,
}

impl Names {
    /// Redacts all values of a survey.
    pub fn of(survey: &Survey) -> Self {
        Self::of_values(&survey.values)
    }

    /// Redacts all of these values.
    pub fn of_values(values: &Values) -> Self {
        Self { needles: values.needles(), rules: Rules::shipped().ok() }
    }

    /// For the names of secrets, of which there are many: redacts only values in forms that could be a name.
    pub fn of_secrets(values: &Values) -> Self {
        Self { needles: values.needles_for_names().map(Arc::new), rules: Rules::shipped().ok() }
    }

    /// The name, with `…` for every part that holds a value or does not look like a name.
    pub fn shown(&self, name: &str) -> String {
        mask_parts(name, ".", &self.hits(name), &|part| !looks_like_name(part))
    }

    /// A text about a name, without the words that hold a value or a part of the name that is not shown.
    pub fn told(&self, words: &str, name: &str) -> String {
        let hidden = |part: &&str| !part.is_empty() && self.shown(part) == MASK;
        let hidden: Vec<&str> = name.split('.').filter(hidden).collect();
        mask_parts(words, " ", &self.hits(words), &|word| hidden.iter().any(|part| word.contains(part)))
    }

    /// Whether a text has neither a value nor anything in the form of a credential.
    pub fn is_clean(&self, text: &str) -> bool {
        self.hits(text).is_empty()
    }

    /// The spans of values, and of everything in the form of a credential.
    fn hits(&self, text: &str) -> Vec<Range<usize>> {
        let mut hits: Vec<Range<usize>> = Vec::new();
        if let Some(needles) = &self.needles {
            needles.find(text.as_bytes(), &mut |hit| hits.push(hit.start..hit.end));
        }
        if let Some(rules) = self.rules {
            rules.find(text.as_bytes(), &mut |finding| hits.push(finding.span));
        }
        hits
    }
}

/// The name of a secret: from the names that its values have, from its issuer, or from its file.
pub fn name_of<'a>(
    shown: &Names,
    names: impl Iterator<Item = &'a str>,
    provider: Option<&str>,
    file: Option<&Path>,
) -> String {
    let [mut sure, mut other, mut weak]: [BTreeMap<String, usize>; 3] = Default::default();
    for name in names {
        let name = &shown.shown(name);
        let last = name.rsplit('.').next().unwrap_or(name);
        let (count, whose) = match (named_for(name), names_a_secret(last) || names_a_key(last)) {
            (Some(whose), true) => (&mut sure, whose),
            (Some(whose), false) => (&mut other, whose),
            (None, true) => (&mut weak, last.to_owned()),
            (None, false) => continue,
        };
        *count.entry(whose).or_default() += 1;
    }
    // Of equally frequent names the first in the alphabet, so that the result does not change.
    let most = |counts: BTreeMap<String, usize>| {
        counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    };
    let provider = || provider.filter(|provider| !provider.is_empty()).map(str::to_owned);
    let stem = || Some(shown.shown(&file?.file_stem()?.to_string_lossy()));
    let name = most(sure).or_else(provider).or_else(|| most(other)).or_else(|| most(weak)).or_else(stem);
    plain(&name.unwrap_or_else(|| UNNAMED.to_owned()))
}

/// Distinguishes secrets with the same name by their location, then by a number. `taken` are names that stay as they
/// are.
pub fn told_apart(names: &mut [(String, String)], taken: &BTreeSet<String>) {
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

/// The name, with only the characters that a name in the configuration may have.
fn plain(name: &str) -> String {
    let good = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => letter,
        _ => '-',
    };
    let text: String = name.chars().map(good).take(NAME_BYTES_MAX).collect();
    let text = text.trim_matches(['-', '.']).to_owned();
    if text.is_empty() { UNNAMED.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::*;

    #[test]
    fn a_secret_is_called_by_its_most_frequent_name_then_by_its_issuer() {
        let shown = Names { needles: None, rules: None };
        let named = |names: &[&str], provider| name_of(&shown, names.iter().copied(), provider, None);
        assert_eq!(named(&["OPENAI_API_KEY", "AI_KEY", "openai.apiKey"], Some("x")), "openai");
        assert_eq!(named(&["apiKey"], Some("anthropic")), "anthropic");
        assert_eq!(named(&["DATABASE_URL", "DB_PASSWORD"], None), "db");
        assert_eq!(named(&["DATABASE_URL"], None), "database-url");
        assert_eq!(named(&["password"], None), "password");
        let key = Path::new("/etc/ssl/private/Shop_front.key");
        assert_eq!(name_of(&shown, [].into_iter(), None, Some(key)), "shop_front");
        assert_eq!(named(&[], None), "unnamed");
        assert_eq!(named(&["B_TOKEN", "A_TOKEN"], None), "a");
    }

    #[test]
    fn what_is_no_word_is_no_part_of_a_name() {
        let shown = Names { needles: None, rules: Rules::shipped().ok() };
        for name in [
            "OPENAI_API_KEY",
            "providers.openai.apiKey",
            "profiles.anthropic:default.key",
            "auths.https://index.docker.io/v1/.auth",
            "oauth2ClientSecret",
            "base64EncodedKey",
            "k8sClusterToken",
            "smtp2goApiKey",
            "openAIApiKeyForDB",
            "claude-3-5-sonnet-20241022.key",
            "PGPASSWORD",
            "Zugangsschlüssel",
            "",
        ] {
            assert_eq!(shown.shown(name), name);
        }
        // Alternating letters and digits; no known value looks like this.
        let random: String = alphanumeric(400).chars().filter(char::is_ascii_alphabetic).take(12).collect();
        let random: String =
            random.chars().zip(0..).map(|(letter, at)| format!("{letter}{}", at % 7)).collect();
        assert_eq!(shown.shown(&format!("tenants.{random}.token")), "tenants.….token");
        assert_eq!(shown.shown(&format!("a:{random}@b")), "…");
        assert_eq!(shown.shown("550e8400-e29b-41d4-a716-446655440000.key"), "….key");
        assert_eq!(shown.shown(&"a-word-".repeat(10)), "…");
        let formed = keyroll_testkit::github_token();
        assert_eq!(shown.shown(&format!("users.{formed}.token")), "users.….token");
        assert_eq!(name_of(&shown, [formed.as_str()].into_iter(), None, Some(Path::new(&random))), "unnamed");
        // The same in a text about it: by the name next to it, and by its form.
        let of = |name: &str| format!("apiKey of {name} in /srv/{}/settings.json", "1a".repeat(9));
        let told = format!("apiKey of … in /srv/{}/settings.json", "1a".repeat(9));
        assert_eq!(shown.told(&of(&random), &format!("{random}.apiKey")), told);
        assert_eq!(shown.told(&of(&formed), "OPENAI_API_KEY"), told);
        assert_eq!(shown.told(&of("openai"), "openai.apiKey"), of("openai"));
        assert_eq!(shown.told("the profile p:x in its store", ""), "the profile p:x in its store");
        assert!(shown.is_clean(&of(&random)) && !shown.is_clean(&of(&formed)));
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

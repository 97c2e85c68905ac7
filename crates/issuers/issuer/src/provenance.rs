use std::fmt;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How many letters a mistyped key may differ from the key that is meant.
const NEAR_EDITS_MAX: usize = 3;

/// The message for a day in another form.
const DAY_FORM: &str = "`checked` is a day, such as 2026-11-20";

/// The sources of the facts in a spec.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    /// The day on which the facts were last compared with the sources: `2026-11-20`.
    pub(crate) checked: String,
    /// The pages that state the facts. Write `{ at, says }` for each page; its address alone does not say what it states.
    pub(crate) sources: Vec<Source>,
    /// Facts that no page states and that were assumed or measured, one sentence each. A sentence about one key of the spec
    /// begins with that key: `propagation: a new key works within a minute`. Default: none.
    #[serde(default)]
    pub(crate) assumed: Vec<String>,
}

/// A page that states facts of the spec.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Source {
    /// The address of the page.
    Address(String),
    /// The page, and what it states.
    Page(SourcePage),
}

/// A page, and what it states.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourcePage {
    /// The `https://` address of the page.
    pub(crate) at: String,
    /// The keys of the spec that the page states, at least one: `op.mint`, `op.verify.dead`, `fields`.
    pub(crate) says: Vec<String>,
    /// The day on which this page was last read. Default: the day of `[provenance]`.
    pub(crate) checked: Option<String>,
}

/// A text is an address, and a table is a page. An untagged enum could not say which key of the table is wrong.
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceForm;

        impl<'de> Visitor<'de> for SourceForm {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or { at = \"https://…\", says = [\"op.mint\"] }")
            }

            fn visit_str<E: de::Error>(self, address: &str) -> Result<Source, E> {
                Ok(Source::Address(address.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                SourcePage::deserialize(MapAccessDeserializer::new(map)).map(Source::Page)
            }
        }

        deserializer.deserialize_any(SourceForm)
    }
}

impl Source {
    /// The address of the page.
    pub(crate) fn at(&self) -> &str {
        match self {
            Self::Address(address) => address,
            Self::Page(page) => &page.at,
        }
    }

    /// The keys of the spec that it states; none if the spec does not say.
    pub(crate) fn says(&self) -> &[String] {
        match self {
            Self::Address(_) => &[],
            Self::Page(page) => &page.says,
        }
    }

    /// The day on which this page was last read, if it has a day of its own.
    pub(crate) fn checked(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Page(page) => page.checked.as_deref(),
        }
    }
}

/// A day, such as `2026-11-20`.
pub(crate) fn day(text: &str) -> Option<Date> {
    text.parse().ok()
}

impl Provenance {
    /// The first thing that is wrong: its path of keys, and a sentence that repeats no value. `keys`: those that a page can
    /// state, each with whether the spec has it.
    pub(crate) fn fault(&self, keys: &[(&'static str, bool)]) -> Option<(String, String)> {
        if day(&self.checked).is_none() {
            return Some(("provenance.checked".to_owned(), DAY_FORM.to_owned()));
        }
        self.sources.iter().enumerate().find_map(|(number, source)| {
            let (key, message) = match source {
                Source::Address(_) => None,
                Source::Page(page) => page.fault(keys),
            }?;
            Some((format!("provenance.sources.{number}.{key}"), message))
        })
    }
}

impl SourcePage {
    fn fault(&self, keys: &[(&'static str, bool)]) -> Option<(String, String)> {
        if !self.at.starts_with("https://") {
            return Some(("at".to_owned(), "the address of a page begins with https://".to_owned()));
        }
        if self.checked.as_deref().is_some_and(|text| day(text).is_none()) {
            return Some(("checked".to_owned(), DAY_FORM.to_owned()));
        }
        if self.says.is_empty() {
            return Some(("says".to_owned(), "`says` names at least one key of the spec".to_owned()));
        }
        self.says.iter().enumerate().find_map(|(number, name)| {
            let message = match keys.iter().find(|(known, _)| known == name) {
                Some((_, true)) => None,
                Some((known, false)) => Some(format!("the spec has no `{known}`")),
                None => Some(unknown(name, keys)),
            }?;
            Some((format!("says.{number}"), message))
        })
    }
}

/// The message for a name that is no key, with the key of this spec that may be meant.
fn unknown(name: &str, keys: &[(&'static str, bool)]) -> String {
    let there: Vec<&str> = keys.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
    let nearest = there.iter().map(|key| (strsim::damerau_levenshtein(name, key), *key)).min();
    match nearest.filter(|(edits, _)| *edits <= NEAR_EDITS_MAX) {
        Some((_, near)) => format!("a page cannot state this key; did you mean `{near}`?"),
        None => format!("a page cannot state this key; it can state {}", there.join(", ")),
    }
}

//! A page of a list. Each of its objects is handed on as soon as it is read, so that one at a time is in memory in the form
//! of the API, which is several times as large as its text.

use std::fmt;

use kube::api::ListMeta;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a page, and gives each of its objects to `each`. If the page is no list to its end, those before have been given
/// all the same.
pub(crate) fn read<K: DeserializeOwned>(
    text: &[u8],
    each: &mut dyn FnMut(K),
) -> Result<ListMeta, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let metadata = from.deserialize_map(Page(each))?;
    from.end()?;
    Ok(metadata)
}

/// The whole page.
struct Page<'e, K>(&'e mut dyn FnMut(K));

impl<'de, K: Deserialize<'de>> Visitor<'de> for Page<'_, K> {
    type Value = ListMeta;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListMeta, A::Error> {
        let Self(each) = self;
        let (mut metadata, mut listed) = (None, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" if metadata.is_some() => return Err(de::Error::duplicate_field("metadata")),
                "metadata" => metadata = Some(map.next_value::<ListMeta>()?),
                "items" if listed => return Err(de::Error::duplicate_field("items")),
                "items" => {
                    map.next_value_seed(Items(&mut *each))?;
                    listed = true;
                }
                _ => {
                    let IgnoredAny = map.next_value()?;
                }
            }
        }
        // An answer without them is no list, and not an empty one.
        if listed { Ok(metadata.unwrap_or_default()) } else { Err(de::Error::missing_field("items")) }
    }
}

/// Its objects: a list that may be `null`, which is how Go writes an empty one.
struct Items<'e, K>(&'e mut dyn FnMut(K));

impl<'de, K: Deserialize<'de>> DeserializeSeed<'de> for Items<'_, K> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de, K: Deserialize<'de>> Visitor<'de> for Items<'_, K> {
    type Value = ();

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("objects, or null")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let Self(each) = self;
        while let Some(object) = all.next_element::<K>()? {
            each(object);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ServiceAccount;

    use super::*;

    const NO_LIST: &str = "no list";

    /// The names that were read, and the token of the next page, or that it is no list.
    fn of(text: &str) -> (Vec<String>, String) {
        let mut names = Vec::new();
        let mut each = |one: ServiceAccount| names.push(one.metadata.name.unwrap_or_default());
        let read = read::<ServiceAccount>(text.as_bytes(), &mut each);
        let token = read.map_or_else(|_| NO_LIST.to_owned(), |list| list.continue_.unwrap_or_default());
        (names, token)
    }

    #[test]
    fn the_objects_of_a_page_are_read_wherever_its_metadata_stand() {
        let (first, next) = (r#""metadata":{"continue":"t1"}"#, r#""items":[{"metadata":{"name":"a"}},{}]"#);
        for text in [format!("{{{first},\"kind\":\"List\",{next}}}"), format!("{{{next},{first}}}\n")] {
            let wanted = (vec!["a".to_owned(), String::new()], "t1".to_owned());
            assert_eq!(of(&text), wanted, "{text}");
        }
        assert_eq!(of(r#"{"items":[]}"#), (Vec::new(), String::new()));
        assert_eq!(of(r#"{"metadata":{},"items":null}"#), (Vec::new(), String::new()));
    }

    #[test]
    fn a_page_whose_last_object_is_broken_is_no_list() {
        let first = r#"{"metadata":{"name":"a"}}"#;
        for last in [r#"{"metadata":7}"#, "null", "{", r#"{"metadata":{"name":"b"}"#] {
            let read = of(&format!(r#"{{"items":[{first},{last}]}}"#));
            assert_eq!(read, (vec!["a".to_owned()], NO_LIST.to_owned()), "{last}");
        }
    }

    #[test]
    fn a_page_that_ends_too_early_or_too_late_is_no_list() {
        let whole = r#"{"items":[{"metadata":{"name":"a"}}],"metadata":{"continue":"t1"}}"#;
        assert_eq!(of(whole).1, "t1");
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]).1, NO_LIST, "{end}");
        }
        let twice = format!("{whole}{whole}");
        let items = r#"{"items":[],"items":[]}"#;
        let metadata = r#"{"metadata":{},"items":[],"metadata":{}}"#;
        for text in [twice.as_str(), items, metadata, "[{},[]]", "{}"] {
            assert_eq!(of(text).1, NO_LIST, "{text}");
        }
    }
}

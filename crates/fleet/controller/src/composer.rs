//! Composing again and again: only what became another is composed anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{BadBase, Base};
use crate::compose::{Composed, Former, Stays, compose};
use crate::object::{Id, SecretRotation};

/// What was composed last, and from what.
#[derive(Debug)]
pub struct Composer {
    /// Where it is written.
    file: PathBuf,
    last: Option<(Inputs, Composed)>,
    /// The tables in its text, as this text of a base file has them.
    former: Option<(String, Arc<Former>)>,
}

/// All that a configuration is composed from, besides the tables of before, which follow from it.
#[derive(Debug, PartialEq, Eq)]
struct Inputs {
    base: String,
    /// The uid and the generation: an object of the same has the same `spec`.
    objects: BTreeMap<Id, (String, i64)>,
    stays: Stays,
}

impl Composer {
    /// One that has composed nothing yet.
    pub fn new(file: PathBuf) -> Self {
        Self { file, last: None, former: None }
    }

    /// The tables of objects that count by now: those that were composed last, or else those in the text that was `found` in
    /// the file. What somebody else makes of the file meanwhile does not count.
    ///
    /// # Errors
    /// The text that was found is not TOML.
    pub fn former(&mut self, base: &Base, found: Option<&str>) -> Result<Arc<Former>, BadBase> {
        if let Some((of, former)) = &self.former
            && of == base.text()
        {
            return Ok(Arc::clone(former));
        }
        let text = self.last.as_ref().map(|(_, composed)| composed.text.as_str()).or(found);
        let former = Arc::new(Former::read(text.unwrap_or_default(), base)?);
        self.former = Some((base.text().to_owned(), Arc::clone(&former)));
        Ok(former)
    }

    /// Composes, unless all of it is as it was.
    pub fn compose(
        &mut self,
        base: &Base,
        objects: &[SecretRotation],
        former: &Former,
        stays: Stays,
    ) -> &Composed {
        let each = |object: &SecretRotation| (object.id.clone(), (object.uid.clone(), object.generation));
        let inputs =
            Inputs { base: base.text().to_owned(), objects: objects.iter().map(each).collect(), stays };
        let same = self.last.take().filter(|(last, _)| *last == inputs);
        let composed = match same {
            Some((_, composed)) => composed,
            None => {
                self.former = None;
                compose(base, &self.file, objects, former, &inputs.stays)
            }
        };
        let (_, composed) = self.last.insert((inputs, composed));
        composed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::base::tests::{BASE, base, base_of};
    use crate::object::Status;
    use crate::standing::Accepted;

    const FILE: &str = "/var/lib/keyroll/config/keyroll.toml";

    fn object(generation: i64, spec: Value) -> SecretRotation {
        let Value::Object(spec) = spec else { panic!("no object") };
        SecretRotation {
            id: Id { host: "shop".to_owned(), name: "one".to_owned() },
            namespace: "shop".to_owned(),
            uid: "7c0d".to_owned(),
            resource_version: generation.to_string(),
            generation,
            made_s: 1,
            annotations: BTreeMap::new(),
            spec,
            status: Status::default(),
        }
    }

    fn good() -> Value {
        json!({
            "issuer": "openrouter",
            "admin": "file:./openrouter.key",
            "consumers": [{
                "name": "agent",
                "runs": { "deployment": "agent" },
                "reads": { "secret": "anthropic", "key": "api-key" },
            }],
        })
    }

    /// What became of the object, as the server does it.
    fn look(composer: &mut Composer, base: &Base, object: &SecretRotation, stays: Stays) -> Accepted {
        let former = composer.former(base, None).unwrap();
        let composed = composer.compose(base, std::slice::from_ref(object), &former, stays);
        composed.each[&object.id].clone()
    }

    #[test]
    fn only_what_became_another_is_composed_anew() {
        let mut composer = Composer::new(FILE.into());
        let base = base();
        let one = object(1, good());
        assert_eq!(look(&mut composer, &base, &one, Stays::default()), Accepted::Yes);
        // The same generation is the same `spec`, so that this one is not looked at.
        let broken = SecretRotation { spec: Map::new(), ..one.clone() };
        assert_eq!(look(&mut composer, &base, &broken, Stays::default()), Accepted::Yes);
        let next = SecretRotation { generation: 2, ..broken.clone() };
        assert!(matches!(look(&mut composer, &base, &next, Stays::default()), Accepted::Former(_)));
        for (uid, generation) in [("7c0d", 3), ("8d1e", 3)] {
            let next = SecretRotation { uid: uid.to_owned(), generation, ..one.clone() };
            assert_eq!(look(&mut composer, &base, &next, Stays::default()), Accepted::Yes);
            let broken = SecretRotation { uid: "9f".to_owned(), generation, ..broken.clone() };
            assert!(matches!(look(&mut composer, &base, &broken, Stays::default()), Accepted::Former(_)));
        }
    }

    #[test]
    fn another_base_file_and_another_open_rotation_are_composed_anew() {
        let mut composer = Composer::new(FILE.into());
        let one = object(1, good());
        assert_eq!(look(&mut composer, &base(), &one, Stays::default()), Accepted::Yes);
        let closed = base_of(&BASE.replace("folder = \"/etc/keyroll/namespaces/shop\"\n", "")).unwrap();
        let open = Stays { open: BTreeSet::from(["shop.one".to_owned()]), ..Stays::default() };
        assert!(matches!(look(&mut composer, &closed, &one, open), Accepted::Former(_)));
        assert!(matches!(look(&mut composer, &closed, &one, Stays::default()), Accepted::No(_)));
    }

    #[test]
    fn what_somebody_else_makes_of_the_file_does_not_count() {
        let mut composer = Composer::new(FILE.into());
        let base = base();
        let one = object(1, good());
        look(&mut composer, &base, &one, Stays::default());
        let former = composer.former(&base, Some("version = [")).unwrap();
        assert_eq!(former.names().collect::<Vec<_>>(), ["shop.one"]);
        let again = composer.compose(&base, std::slice::from_ref(&one), &former, Stays::default());
        assert!(again.text.contains("[secrets.\"shop.one\"]"), "it is written over that");
        // At the start it is all that is known.
        let text = again.text.clone();
        let mut next = Composer::new(FILE.into());
        assert!(next.former(&base, Some("version = [")).is_err());
        assert_eq!(next.former(&base, Some(&text)).unwrap(), former);
    }
}

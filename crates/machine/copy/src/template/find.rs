//! The reverse of a template inside a longer text: its places, and the fields of each.

use super::field_values::{FieldValues, add};
use super::{Part, Template};

impl Template {
    /// The fields at every place of a file that has this form. Nothing is found for a template that begins with a
    /// field, because its places cannot be recognised, nor for a template in Base64.
    pub fn find(&self, file: &[u8]) -> Vec<FieldValues> {
        let Some(Part::Literal(first)) = self.parts.first().filter(|_| !self.base64) else {
            return Vec::new();
        };
        let starts = file.windows(first.len()).enumerate().filter(|(_, window)| *window == first.as_slice());
        starts.filter_map(|(at, _)| file.get(at..).and_then(|rest| self.begins(rest))).collect()
    }

    /// The fields, if the text begins with this form.
    fn begins(&self, text: &[u8]) -> Option<FieldValues> {
        let mut rest = text;
        let mut found = FieldValues::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(text.as_slice())?,
                Part::Placeholder { name, position } => {
                    let run = rest.iter().take_while(|byte| position.stands(**byte)).count();
                    let length = match self.parts.get(index + 1) {
                        Some(Part::Literal(next)) => rest
                            .windows(next.len())
                            .take(run + 1)
                            .position(|window| window == next.as_slice())?,
                        Some(Part::Placeholder { .. }) => return None,
                        None => run,
                    };
                    let (written, behind) = rest.split_at_checked(length).filter(|_| length > 0)?;
                    rest = behind;
                    add(&mut found, name, position.read(written)?)?;
                }
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;

    use super::*;

    fn found(template: &str, file: &str) -> Vec<String> {
        let shown = |found: &FieldValues| {
            let pair = |(name, value): (&String, &SecretBytes)| {
                format!("{name}={}", String::from_utf8_lossy(value.expose()))
            };
            found.iter().map(pair).collect::<Vec<_>>().join(" ")
        };
        Template::parse(template).unwrap().find(file.as_bytes()).iter().map(shown).collect()
    }

    #[test]
    fn every_place_of_a_form_is_found_with_its_fields() {
        let url = "postgres://{user}:{password}@";
        assert_eq!(found(url, "A=postgres://u:p%40x@h/d\n# none\n"), ["password=p@x user=u"]);
        assert_eq!(
            found(url, "a postgres://u:p@h b postgres://v:q@h"),
            ["password=p user=u", "password=q user=v"]
        );
        assert_eq!(found("key: {value}", "x\nkey: abc\ny: d\n"), ["value=abc"]);
        assert_eq!(found("\"k\": \"{value:raw}\"", "{\"k\": \"a b\", \"z\": 1}"), ["value=a b"]);
        assert_eq!(found("http://h/?key={value}", "u='http://h/?key=abc&b=1'"), ["value=abc"]);
        assert_eq!(found("{value}@x", "abc@x"), [""; 0], "it begins anywhere");
        assert_eq!(found(url, "postgres://u@h postgres://:p@h"), [""; 0]);
        assert_eq!(found("{a}", ""), [""; 0]);
        assert_eq!(found("k={a} l={a}", "k=1 l=2"), [""; 0], "one name with two values");
    }
}

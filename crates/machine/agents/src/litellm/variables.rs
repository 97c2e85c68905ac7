use keyroll_copy::{DotenvReader, Format};
use keyroll_secret::SecretBytes;

/// The variables that a process sees: those that it was started with, then those that its env files add.
#[derive(Default)]
pub struct Variables(Vec<(String, SecretBytes)>);

impl Variables {
    /// The variables of an environment: entries `NAME=value`.
    pub fn started_with<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut variables = Self::default();
        for entry in entries {
            let Some(sign) = entry.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = entry.split_at(sign);
            variables.add(
                &String::from_utf8_lossy(name),
                SecretBytes::new(value.get(1..).unwrap_or_default().to_vec()),
            );
        }
        variables
    }

    /// Adds the variables of an env file that are not set yet: the environment at the start wins.
    pub fn add_file(&mut self, file: &[u8]) {
        for (name, value) in Format::Dotenv.variables_for(file, DotenvReader::Python).unwrap_or_default() {
            if let Ok(value) = value {
                self.add(&name, value);
            }
        }
    }

    fn add(&mut self, name: &str, value: SecretBytes) {
        if !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((name.to_owned(), value));
        }
    }

    /// A second copy of the content of one variable.
    pub fn get(&self, name: &str) -> Option<SecretBytes> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.duplicate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_was_started_with_wins_over_a_file() {
        let mut variables = Variables::started_with([b"A=1".as_slice(), b"B=x=y", b"nothing"]);
        variables.add_file(b"A=2\nC='3'\nC=4\n");
        let shown =
            |name| variables.get(name).map(|value| String::from_utf8_lossy(value.expose()).into_owned());
        assert_eq!(shown("A").as_deref(), Some("1"));
        assert_eq!(shown("B").as_deref(), Some("x=y"));
        assert_eq!(shown("C").as_deref(), Some("4"));
        assert_eq!(shown("nothing"), None);
    }
}

use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::format::{limited, text};
use crate::slot::Pointer;
use crate::spot::Spot;
use crate::{CopyError, Format, Slot, dotenv, ini, json, line, toml, whole, yaml};

/// One value of a file, with its place.
pub struct Entry {
    /// The slot, by which [`Format::read`] finds it.
    pub slot: Slot,
    /// The bytes of its spelling, quotes included.
    pub span: Range<usize>,
    /// The value, or what readers disagree about.
    pub value: Result<SecretBytes, &'static str>,
}

impl Format {
    /// Every value of a file, in the order of the file. Of several values with one slot, the last wins.
    ///
    /// A value that no slot can name is omitted: one under a name that is not a text, or the `default` of a `.netrc`.
    ///
    /// # Errors The file is not of this format, or its slots together take more bytes than the limit.
    pub fn entries(self, file: &[u8]) -> Result<Vec<Entry>, CopyError> {
        limited(file)?;
        let found: Vec<(Slot, Spot)> = match self {
            Self::Whole => vec![(Slot::Whole, whole::spot(file))],
            Self::Dotenv => dotenv::all(file),
            Self::Json => at(json::tree(text(file, "JSON")?)?.each()?),
            Self::Yaml => at(yaml::tree(text(file, "YAML")?, false)?.each()?),
            Self::Compose => at(yaml::tree(text(file, "YAML")?, true)?.each()?),
            Self::Toml => at(toml::tree(text(file, "TOML")?)?.each()?),
            Self::Ini => at(ini::all(file, ini::IniDialect::Ini)),
            Self::Npmrc => at(ini::all(file, ini::IniDialect::Npmrc)),
            Self::Pgpass => line::pgpass_all(file),
            Self::Netrc => line::netrc_all(file),
            Self::GitCredentials => line::git_all(file),
        };
        let mut all: Vec<Entry> = found
            .into_iter()
            .map(|(slot, spot)| Entry { slot, span: spot.span, value: spot.value })
            .collect();
        all.sort_by_key(|entry| entry.span.start);
        Ok(all)
    }
}

fn at(found: Vec<(Pointer, Spot)>) -> Vec<(Slot, Spot)> {
    found.into_iter().map(|(pointer, spot)| (Slot::At(pointer), spot)).collect()
}

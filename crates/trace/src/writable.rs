//! How a rotation would write a value where it stands.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use keyroll_copy::{FILE_BYTES_MAX, Format, Slot, Template};
use keyroll_secret::SecretBytes;

use crate::kinds::format_of;
use crate::{Place, Survey, ValueId};

/// The longest text before a value in its line that a template is made of, bytes.
const BEFORE_BYTES_MAX: usize = 256;

/// How a value is found in its file again, whatever it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writable {
    /// By its place.
    Slot(Format, Slot),
    /// By the text around it; `{value}` stands for the value.
    Within(String),
}

/// How a rotation would write a value that stands in a line of a file, under a name. What is given back was tried: it finds
/// this value in the file as it is now.
///
/// # Errors
/// Why nothing finds it.
pub fn writable(
    survey: &Survey,
    (path, line): (&Path, u64),
    name: &str,
    value: ValueId,
) -> Result<Writable, &'static str> {
    let bytes = read(path)?;
    let bytes = bytes.expose();
    let holds = |format: Format, slot: &Slot| {
        let found = format.read(bytes, slot).ok().flatten();
        found.is_some_and(|found| survey.values.of(&found) == Some(value))
    };
    let known = format_of(path, bytes);
    let here =
        |place: &Place| matches!(place, Place::File { path: own, line: at } if own == path && *at == line);
    let slots = survey.sightings.iter().filter(|one| one.value == value && here(&one.place));
    let slots: Vec<&Slot> = slots.filter_map(|one| one.slot.as_ref()).collect();
    if let Some(format) = known
        && let Some(slot) = slots.into_iter().find(|slot| holds(format, slot))
    {
        return Ok(Writable::Slot(format, slot.clone()));
    }
    let variable = Slot::Variable(name.to_owned());
    let others = [(Format::Dotenv, variable), (Format::Whole, Slot::Whole)];
    if let Some((format, slot)) = others.into_iter().find(|(format, slot)| holds(*format, slot)) {
        return Ok(Writable::Slot(format, slot));
    }
    within(survey, bytes, line, value)
}

/// A copy is small: a file in which a value is one of many things is not rewritten.
fn read(path: &Path) -> Result<SecretBytes, &'static str> {
    let meta = path.metadata().map_err(|_| "its file cannot be read")?;
    if !meta.is_file() {
        return Err("it is not a regular file");
    }
    if meta.len() > FILE_BYTES_MAX as u64 {
        return Err("its file is too large to be written as a whole");
    }
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX + 1);
    let file = File::open(path).map_err(|_| "its file cannot be read")?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|_| "its file cannot be read")?;
    Ok(SecretBytes::new(bytes))
}

/// The text around a value in its line, where that finds it and nothing else.
fn within(survey: &Survey, bytes: &[u8], line: u64, value: ValueId) -> Result<Writable, &'static str> {
    const WHY: &str = "no form that is known finds it there";
    let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1)).ok_or(WHY)?;
    let text = bytes.split(|byte| *byte == b'\n').nth(at).ok_or(WHY)?;
    let known = survey.values.get(value).ok_or(WHY)?;
    for start in 0..text.len() {
        let (before, rest) = text.split_at(start);
        let Some(length) = known.begins(rest) else { continue };
        let before = before.trim_ascii_start();
        if before.is_empty() || before.len() > BEFORE_BYTES_MAX {
            continue;
        }
        let behind = rest.get(length..).unwrap_or_default().get(..1).unwrap_or_default();
        if survey.values.redactor().is_some_and(|all| holds_any(&all, before)) {
            return Err("another secret stands before it in its line");
        }
        let literal = |part: &[u8]| {
            let text = std::str::from_utf8(part).ok().filter(|text| !text.contains(char::is_control))?;
            Some(text.replace('{', "{{").replace('}', "}}"))
        };
        let (Some(before), Some(behind)) = (literal(before), literal(behind)) else { return Err(WHY) };
        for hole in ["{value}", "{value:raw}"] {
            let template = format!("{before}{hole}{behind}");
            let finds = Template::parse(&template).map(|template| template.find(bytes)).unwrap_or_default();
            let same = |found: &keyroll_copy::Found| {
                found.get("value").is_some_and(|found| survey.values.of(found) == Some(value))
            };
            if !finds.is_empty() && finds.iter().all(same) {
                return Ok(Writable::Within(template));
            }
        }
    }
    Err(WHY)
}

fn holds_any(needles: &keyroll_needle::Needles, text: &[u8]) -> bool {
    let mut any = false;
    needles.find(text, &mut |_| any = true);
    any
}

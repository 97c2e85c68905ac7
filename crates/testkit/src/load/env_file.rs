use std::fs;
use std::io;
use std::path::Path;

/// The value of one variable of an env file, without the quotes around it; the last assignment counts.
///
/// # Errors
/// If the file cannot be read or does not set the variable.
pub fn read_variable(file: &Path, variable: &str) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    let mut values = text.lines().filter_map(|line| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.strip_prefix(variable)?.strip_prefix('=')
    });
    let value =
        values.next_back().ok_or_else(|| io::Error::other("the env file does not set the variable"))?;
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Ok(quoted.unwrap_or(value).to_owned())
}

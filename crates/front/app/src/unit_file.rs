//! The command line of keyroll for a unit file of systemd.

use crate::installation::Installation;
use crate::problem::Problem;

/// This program with the paths of the installation.
///
/// # Errors
/// As `making`, if systemd would read one of the paths differently.
pub fn command(installation: &Installation, making: impl Fn() -> Problem) -> Result<String, Problem> {
    let program = std::env::current_exe().map_err(|error| making().because_of(&error))?;
    let mut words = vec![program.into_os_string()];
    words.extend(installation.words()?);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    match words.iter().find(|word| !word.chars().all(plain)) {
        Some(path) => Err(making()
            .because(format!("systemd would interpret {path} differently"))
            .help("use paths of letters, digits and /._-+@")),
        None => Ok(words.join(" ")),
    }
}

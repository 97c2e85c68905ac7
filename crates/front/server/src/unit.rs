//! The unit file of the server.

use std::path::Path;

use keyroll_app::problem::Problem;
use keyroll_codes::Code;

/// `@KEYROLL@` is the command with its paths.
const SERVICE: &str = include_str!("keyroll.service");

/// A systemd unit that runs the server of this installation.
///
/// # Errors
/// `K0951`: systemd would read a path differently.
pub fn unit(
    program: &Path,
    [config, state, keys]: [&Path; 3],
    sealing_key: Option<&str>,
) -> Result<String, Problem> {
    let source = Path::new(sealing_key.unwrap_or("-"));
    let paths = [program, config, state, keys, source];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if let Some(path) = paths.iter().find(|path| !path.to_string_lossy().chars().all(plain)) {
        return Err(Problem::new(Code::ServerNotStarted, "write the unit file")
            .because(format!("systemd would interpret {} differently", path.display()))
            .help("use paths of letters, digits and /._-+@"));
    }
    let [program, config, state, keys, source] = paths.map(Path::display);
    let mut command = format!("{program} --config {config} --state {state} --keys {keys}");
    if sealing_key.is_some() {
        command += &format!(" --sealing-key {source}");
    }
    let user = match rustix::process::geteuid() {
        root if root.is_root() => String::new(),
        user => format!("User={}\n", user.as_raw()),
    };
    Ok(SERVICE.replace("@KEYROLL@", &command).replace("@USER@", &user))
}

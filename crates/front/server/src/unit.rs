//! The unit file of the server.

use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::unit_file;
use keyroll_codes::Code;

/// `@KEYROLL@` is the command with its paths.
const SERVICE: &str = include_str!("../../../../deploy/systemd/keyroll.service");

/// A systemd unit that runs the server of this installation.
///
/// # Errors
/// `K0951`: systemd would read a path differently.
pub fn unit(installation: &Installation) -> Result<String, Problem> {
    let making = || Problem::new(Code::ServerNotStarted, "write the unit file");
    let command = unit_file::command(installation, making)?;
    let user = match rustix::process::geteuid() {
        root if root.is_root() => String::new(),
        user => format!("User={}\n", user.as_raw()),
    };
    Ok(SERVICE.replace("@KEYROLL@", &command).replace("@USER@", &user))
}

//! Refuses a configuration, issuer specs and commands of this machine that another user can change.
//!
//! The commands of a consumer on another host are checked there, by the program that runs them.

use std::path::Path;

use keyroll_config::{Consumer, IssuerRef, Secret};
use keyroll_setup::trust::trusted_commands;

use super::open::folder_of;
use crate::problem::Problem;

/// Refuses a configuration if another user can change it, a file that it names, or a folder above one of them: that
/// user's commands would run with this user's rights, or credentials would go to hosts of that user's choice.
///
/// Root trusts only root's files. Any other user also trusts own files that the group can write. A command that goes on
/// as another user may run that user's files.
pub fn trusted(config_file: &Path, secret: &Secret) -> Result<(), Problem> {
    trusted_of(config_file, secret, |_| true)
}

/// The same, for the commands of some consumers only, by their number: those of the others are not run.
pub fn trusted_of(config_file: &Path, secret: &Secret, runs: impl Fn(usize) -> bool) -> Result<(), Problem> {
    let folder = folder_of(config_file);
    let mut files = vec![config_file.to_owned()];
    match &secret.issuer {
        IssuerRef::SpecFile(path) => files.push(folder.join(path)),
        IssuerRef::Shipped(_) | IssuerRef::Server(_) | IssuerRef::AwsAccessKey => {}
    }
    let consumers = secret.consumers.iter().enumerate();
    let run_here = consumers.filter(|(at, consumer)| consumer.is_here && runs(*at));
    Ok(trusted_commands(files, folder, run_here.map(|(_, consumer)| consumer))?)
}

/// The same for the commands of one consumer.
pub fn trusted_consumer(config_file: &Path, consumer: &Consumer) -> Result<(), Problem> {
    let run_here = Some(consumer).filter(|consumer| consumer.is_here);
    Ok(trusted_commands(Vec::new(), folder_of(config_file), run_here)?)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use keyroll_codes::Code;
    use keyroll_config::Config;

    use super::*;

    #[test]
    fn only_the_commands_of_this_machine_are_checked_here_and_the_configuration_always() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keyroll.toml");
        let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n\
                    [[secrets.acme.consumers]]\nname = \"app\"\nreads = { file = \"./key\" }\n\
                    runs = { restart = [\"./open.sh\"], pid_file = \"./app.pid\" }\n";
        let open = |path: &Path, mode: u32| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        open(&file, 0o600);
        open(&folder.path().join("open.sh"), 0o777);
        let mut secret =
            Config::parse(text, &file.display().to_string()).unwrap().secret("acme").unwrap().clone();
        let code = |secret: &Secret| trusted(&file, secret).err().map(|problem| problem.code);
        assert_eq!(code(&secret), Some(Code::OpenToOtherUsers));
        assert!(trusted_of(&file, &secret, |_| false).is_ok());
        assert!(trusted_consumer(&file, &secret.consumers[0]).is_err());
        secret.consumers[0].is_here = false;
        assert_eq!(code(&secret), None);
        assert!(trusted_consumer(&file, &secret.consumers[0]).is_ok());
        open(&file, 0o666);
        assert_eq!(code(&secret), Some(Code::OpenToOtherUsers));
    }
}

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};

use crate::user::User;

/// One user's own service manager.
pub(crate) struct Manager {
    pub(crate) user: User,
    pub(crate) runtime: PathBuf,
    /// The user is not the one that keyroll runs as.
    pub(crate) another: bool,
}

impl Manager {
    /// This user's service manager, if it runs and keyroll may use it.
    pub(crate) fn of(name: &str) -> Result<Self, Failure> {
        let user = User::named(name)?;
        let own = rustix::process::geteuid();
        let another = own.as_raw() != user.uid;
        let runtime = PathBuf::from(format!("/run/user/{}", user.uid));
        let absent = |why: String, help: String| {
            Err(Failure::new(
                Class::Permanent,
                Code::ServiceUnusable,
                format!("talk to the service manager of {name}"),
            )
            .kind(FailureKind::ManagerAbsent)
            .because(why)
            .help(help))
        };
        if another && !own.is_root() {
            return absent(format!("only root or {name} may"), format!("run keyroll as root, or as {name}"));
        }
        let owned = std::fs::metadata(&runtime).is_ok_and(|meta| meta.is_dir() && meta.uid() == user.uid);
        if !owned {
            return absent(
                format!(
                    "it does not run: nobody of that name is logged in ({} is not there)",
                    runtime.display()
                ),
                format!("loginctl enable-linger {name} keeps it running"),
            );
        }
        Ok(Self { user, runtime, another })
    }
}

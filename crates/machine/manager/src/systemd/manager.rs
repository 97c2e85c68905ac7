use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_observe::Process;
use keyroll_port::{Class, Failure, FailureKind};

use crate::user::User;
use crate::{DraftValue, ServiceDeclaration, ServiceIdentity, Unit};

/// The system's service manager. Source: systemd(1).
const SYSTEM_PID: u32 = 1;

impl Unit {
    /// The system's manager in reports.
    pub const SYSTEM: &'static str = "systemd";

    /// A user's own manager in reports.
    pub const OF_USER: &'static str = "systemd of a user";

    /// A unit that a survey found. A service that a timer in `folder` starts is at rest between two runs.
    pub fn declaration(name: &str, user: Option<&str>, folder: Option<&Path>) -> ServiceDeclaration {
        let stem = name.trim_end_matches(".service");
        let timer = name.strip_suffix(".service").map(|stem| format!("{stem}.timer"));
        let mut folders = folder.into_iter().chain([Path::new("/etc/systemd/system")]);
        let timer = timer.filter(|timer| folders.any(|folder| folder.join(timer).is_file()));
        let is_job = timer.is_some();
        let own = match timer {
            Some(timer) => ("timer", DraftValue::text(timer)),
            None => ("unit", DraftValue::text(name)),
        };
        let runs = [own].into_iter().chain(user.map(|user| ("user", DraftValue::text(user))));
        let (manager, of_user) = if user.is_some() { (Self::OF_USER, " --user") } else { (Self::SYSTEM, "") };
        ServiceDeclaration {
            identity: Some(ServiceIdentity::unit(name, user)),
            is_job,
            restart: Some(format!("systemctl{of_user} restart {name}")),
            ..ServiceDeclaration::new(manager, stem, runs)
        }
    }

    /// Whether a process is the service manager that has this unit: it reads the unit's `EnvironmentFile=` and hands
    /// it on. A user's service manager is recognized by its control group, which holds no service. Source:
    /// systemd.special(7), `init.scope`.
    pub fn has_as_manager(&self, process: &Process) -> bool {
        let program = process.exe.as_deref().and_then(Path::file_name);
        if program != Some("systemd".as_ref()) {
            return false;
        }
        match self.user.as_deref().map(User::named) {
            None => process.id.pid == SYSTEM_PID,
            Some(Ok(user)) => {
                let own = format!("/user@{}.service/init.scope", user.uid);
                process.uid == Some(user.uid) && process.cgroup.as_ref().is_some_and(|it| it.ends_with(&own))
            }
            Some(Err(_)) => false,
        }
    }
}

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

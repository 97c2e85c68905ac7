//! The commands that declare what holds a key.

use keyroll_config::Name;

/// The flag of an adoption that needs a check.
const CHECK: &str = " --check \"COMMAND {copy}\"";

/// The command that adopts a process; a check is needed unless the issuer shows which process made a call.
pub fn adopt_process(pid: u32, attributes: bool) -> String {
    let check = if attributes { "" } else { CHECK };
    format!("keyroll consumer adopt {pid} --name NAME --restart COMMAND{check}")
}

/// The command that adopts a copy; only a check proves the value of a copy without a process. A copy on another machine,
/// `web-2:/srv/old.env`, is not adopted: it is deleted there. The path may stand in quotes.
pub fn adopt_copy(path: &str) -> String {
    match host_of(path) {
        Some(host) => format!("delete the copy on {host}"),
        None => format!("keyroll consumer adopt {path} --name NAME{CHECK}"),
    }
}

/// The host of a copy, if it is on another machine: paths of this one are absolute.
fn host_of(path: &str) -> Option<&str> {
    let (host, rest) = path.trim_start_matches('\'').split_once(':')?;
    (rest.starts_with('/') && Name::new(host).is_some()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_a_copy_on_another_machine_is_not_one_that_is_refused() {
        for path in ["web-2:/srv/old.env", "'web-2:/srv/my old.env'"] {
            assert_eq!(adopt_copy(path), "delete the copy on web-2");
        }
        for path in ["PATH", "/srv/web-2:/old.env", "'/srv/web-2:/my old.env'"] {
            assert!(adopt_copy(path).ends_with(&format!(" adopt {path} --name NAME{CHECK}")), "{path}");
        }
    }
}

//! The commands that declare what holds a key.

/// The flag of an adoption that needs a check.
const CHECK: &str = " --check \"COMMAND {copy}\"";

/// The command that adopts a process; a check is needed unless the issuer shows which process made a call.
pub fn adopt_process(pid: u32, attributes: bool) -> String {
    format!("keyroll consumer adopt {pid} --name NAME --restart COMMAND{}", check(attributes))
}

/// The command that adopts a process of another host, `web-2:4711`: what it runs as and reads is not visible from here.
pub fn adopt_process_on_host(process: &str, attributes: bool) -> String {
    format!(
        "keyroll consumer adopt {process} --name NAME --unit UNIT --env-file FILE --variable VARIABLE{}",
        check(attributes)
    )
}

/// The command that adopts a copy, also one of another host, `web-2:/srv/old.env`; only a check proves the value of a copy
/// without a process. The path may stand in quotes.
pub fn adopt_copy(path: &str) -> String {
    format!("keyroll consumer adopt {path} --name NAME{CHECK}")
}

fn check(attributes: bool) -> &'static str {
    if attributes { "" } else { CHECK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_asked_for_where_nothing_else_proves_the_value() {
        assert!(adopt_process_on_host("web-2:4711", false).ends_with(CHECK));
        assert!(!adopt_process_on_host("web-2:4711", true).contains("--check"));
        for path in ["PATH", "web-2:/srv/old.env", "'/srv/my old.env'"] {
            assert_eq!(adopt_copy(path), format!("keyroll consumer adopt {path} --name NAME{CHECK}"));
        }
    }
}

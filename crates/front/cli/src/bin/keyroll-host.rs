//! keyroll-host, the program that keyroll starts on a host over ssh.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyroll_onhost::main()
}

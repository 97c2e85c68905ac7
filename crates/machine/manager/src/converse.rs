//! One exchange with a program that is given a value, or gives one out.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use crate::CommandLine;
use crate::command::{Output, With, run};

/// What a program said before it ended.
pub struct Conversation {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output, which may hold a value; `None` where that has more than 512 KiB.
    pub output: Option<SecretBytes>,
}

/// Runs a program as every other command: with PATH, HOME and LANG alone, in a process group of its own, which is ended at
/// the limit. Its standard input is a file in memory, so it may be longer than a pipe holds and nothing waits until it is
/// read. Its standard error is discarded: it may hold the value.
///
/// # Errors
/// Not started (`K0404`, nothing done); ended at the limit (unknown). An exit status is no error here.
pub fn converse(line: &CommandLine, input: &SecretBytes, limit: Duration) -> Result<Conversation, Failure> {
    let with = With { input: Some(input), ..With::output(Output::Reply) };
    let ended = run(line, &with, Instant::now() + limit, &mut |_| {})?;
    Ok(Conversation { status: ended.status, output: ended.output })
}

/// The longest name, version or message that a program says, bytes.
const WORDS_BYTES_MAX: usize = 256;

/// Whether a text is a name, a version or a message: 1 to 256 bytes of printable characters.
pub fn good_words(text: &str) -> bool {
    (1..=WORDS_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The one line of an answer, or why there is none. No byte of the answer is repeated.
///
/// # Errors
/// The output is no UTF-8, has no line end, or has something behind it.
pub fn one_line(output: &SecretBytes, status: ExitStatus) -> Result<&str, String> {
    let text = std::str::from_utf8(output.expose()).map_err(|_| "it said no UTF-8".to_owned())?;
    match (text.split_once('\n'), status.success()) {
        (Some((line, "")), _) => Ok(line),
        (_, true) => Err("it did not answer with one line".to_owned()),
        (_, false) => Err(format!("it answered with no single line: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_port::Class;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_long_input_is_read_to_its_end_and_a_long_answer_too() {
        let input = SecretBytes::new(vec![b'x'; 400 * 1024]);
        let none: [&str; 0] = [];
        let said = converse(&CommandLine::program("cat", none), &input, LIMIT).unwrap();
        assert!(said.status.success() && said.output.is_some_and(|output| output == input));
    }

    #[test]
    fn a_program_that_reads_nothing_is_not_waited_for_and_one_without_end_is_cut_off() {
        let input = SecretBytes::new(vec![b'x'; 400 * 1024]);
        let quiet = converse(&CommandLine::shell("exit 3"), &input, LIMIT).unwrap();
        assert_eq!(quiet.status.code(), Some(3));
        let endless = CommandLine::shell("exec yes");
        assert!(converse(&endless, &input, LIMIT).unwrap().output.is_none());
    }

    #[test]
    fn what_a_program_leaves_running_is_ended_with_it() {
        let input = SecretBytes::new(Vec::new());
        let leaves = CommandLine::shell("sleep 600 >/dev/null 2>&1 & echo $!");
        let said = converse(&leaves, &input, LIMIT).unwrap().output.unwrap();
        let pid = String::from_utf8(said.expose().to_vec()).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Nobody may be there who waits for it: then its entry stays.
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|line| !line.contains(") Z "));
        let until = Instant::now() + LIMIT;
        while runs() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!runs(), "it goes on");
    }

    #[test]
    fn what_was_not_started_did_nothing_and_what_was_ended_is_unknown() {
        let input = SecretBytes::new(Vec::new());
        let none: [&str; 0] = [];
        let absent = converse(&CommandLine::program("/no/such/program", none), &input, LIMIT).err().unwrap();
        assert_eq!(absent.class, Class::Permanent);
        let slow = CommandLine::shell("exec sleep 600");
        let ended = converse(&slow, &input, Duration::from_millis(200)).err().unwrap();
        assert_eq!(ended.class, Class::Unknown);
    }
}

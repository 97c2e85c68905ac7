//! `keyroll run` on a terminal: the program has one of its own, and what it shows there is redacted.

use std::fs;
use std::io::Write as _;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use crate::hostile::ran::wait;
use crate::kept::{kept, out, run, value};
use crate::shielded::has_ended;
use crate::terminal::Terminal;

/// Says which of its streams are a terminal.
const STREAMS: &str =
    "for fd in 0 1 2; do if [ -t $fd ]; then echo \"$fd is\"; else echo \"$fd not\"; fi; done; echo over";

/// Runs until TERM, and says what else it hears.
const HEARS: &str = "trap 'echo caught' INT; trap 'echo counted' USR1; trap 'exit 3' TERM; \
                     trap 'echo \"size $(stty size)\"' WINCH; echo \"size $(stty size)\"; echo ready; \
                     while :; do sleep 0.05; done";

fn on_terminal(folder: &TempDir, words: &[&str]) -> Terminal {
    Terminal::at(folder.path(), "s", &[], &[&["run"][..], words].concat())
}

fn script(folder: &TempDir, script: &str) -> Terminal {
    on_terminal(folder, &["--", "sh", "-c", script])
}

fn sized(terminal: &Terminal, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal.keys.as_ref().unwrap(), size).unwrap();
}

#[test]
fn a_program_has_a_terminal_where_keyroll_has_one() {
    let folder = kept(&value());
    let fed = ["sh", "-c", "echo fed | \"$@\"", "sh"];
    for (before, words, shown) in [
        (&[][..], &["run"][..], ["0 is", "1 is", "2 is"]),
        (&[], &["run", "--no-terminal"], ["0 is", "1 not", "2 not"]),
        (&fed, &["run"], ["0 not", "1 is", "2 is"]),
    ] {
        let words = [words, &["--", "sh", "-c", STREAMS]].concat();
        let mut terminal = Terminal::at(folder.path(), "s", before, &words);
        assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
        for one in shown.into_iter().chain(["over"]) {
            assert!(terminal.shown().contains(one), "{words:?}, {one}: {}", terminal.shown());
        }
    }
    let piped = run(folder.path(), &["run", "--", "sh", "-c", STREAMS], b"");
    assert_eq!(out(&piped), "0 not\n1 not\n2 not\nover\n");
}

#[test]
fn what_is_piped_in_is_read_to_its_end() {
    let value = value();
    let folder = kept(&value);
    let words = ["run", "--", "sh", "-c", "cat; cat key; echo \"it ended with $?\""];
    fs::write(folder.path().join("key"), &value).unwrap();
    let mut terminal = Terminal::at(folder.path(), "s", &["sh", "-c", "echo fed | \"$@\"", "sh"], &words);
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("fed\r\n") && shown.contains("[redacted:acme]it ended with 0\r\n"), "{shown}");
    assert!(!shown.contains(&value[5..]), "it is shown");
}

#[test]
fn a_prompt_is_shown_at_once_and_the_end_of_the_input_is_typed() {
    let value = value();
    let folder = kept(&value);
    let asks =
        format!("printf 'name {}'; read line; echo \"hello $line\"; cat; echo \"read: $?\"", &value[..5]);
    let mut terminal = script(&folder, &asks);
    terminal.says("name ");
    terminal.types("x\n");
    terminal.says("hello x");
    terminal.types("a line\n\x04");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    let shown = terminal.shown();
    // Once typed, once by cat.
    assert!(shown.matches("a line").count() == 2 && shown.contains("read: 0"), "{shown}");
}

/// The terminal keeps a mark for the end of the input, which is no key any more.
#[test]
fn the_end_of_the_input_is_typed_before_the_program_starts() {
    let folder = kept(&value());
    let typed_first = "echo typing; while [ ! -e typed ]; do sleep 0.05; done; exec \"$@\"";
    let words = ["run", "--", "sh", "-c", "cat; echo \"first: $?\"; cat; echo \"second: $?\"; cat"];
    let mut terminal = Terminal::at(folder.path(), "s", &["sh", "-c", typed_first, "sh"], &words);
    terminal.says("typing");
    // Half a line needs the key once more.
    terminal.types("a line\nhalf\x04\x04\x04");
    terminal.says("half");
    fs::write(folder.path().join("typed"), "").unwrap();
    terminal.says("second: 0");
    let shown = terminal.shown();
    assert!(shown.contains("first: 0") && !shown.contains("^@"), "{shown}");
    // What is typed from now on is handed on as before.
    terminal.types("more\n\x04");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    // Once typed, once by cat.
    assert_eq!(terminal.shown().matches("more").count(), 2, "{}", terminal.shown());
}

#[test]
fn a_value_never_reaches_the_terminal_also_in_two_parts_and_by_dev_tty() {
    let value = value();
    let folder = kept(&value);
    let file = |name: &str| folder.path().join(name);
    fs::write(file("key"), format!("{value}\n")).unwrap();
    fs::write(file("first"), &value[..20]).unwrap();
    fs::write(file("rest"), format!("{}\n", &value[20..])).unwrap();
    let parts = "cat key; cat key >&2; cat key >/dev/tty; echo whole; cat first; touch half; \
                 while [ ! -e go ]; do sleep 0.05; done; cat rest; echo done";
    let mut terminal = script(&folder, parts);
    terminal.says("whole");
    wait("the first half", || file("half").exists());
    fs::write(file("go"), "").unwrap();
    assert_eq!(terminal.code(), Some(0), "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(!shown.contains(&value[6..20]) && !shown.contains(&value[20..]), "a part of it is shown");
    assert!(shown.matches("[redacted:acme]").count() == 4 && shown.contains("done"), "{shown}");
    assert!(shown.contains("redacted: acme ×4"), "{shown}");
}

/// Programs of coreutils close their outputs right before they end.
#[test]
fn a_program_that_closes_its_terminal_and_lives_on_is_not_hung_up() {
    let folder = kept(&value());
    let mut terminal =
        script(&folder, "echo shown; exec <&- >&- 2>&-; sleep 0.5; echo again >/dev/tty; exit 5");
    assert_eq!(terminal.code(), Some(5), "{}", terminal.shown());
    // The last line, too, is written while the terminal is as the program had it.
    let shown = terminal.shown();
    assert!(shown.contains("shown\r\nagain\r\n") && !shown.contains("\r\r\n"), "{shown}");
}

#[test]
fn the_program_sees_the_size_of_the_terminal_and_each_change_of_it() {
    let folder = kept(&value());
    let wait_for_size = "while [ ! -e sized ]; do sleep 0.05; done; exec \"$@\"";
    let words = ["run", "--", "sh", "-c", HEARS];
    let mut terminal = Terminal::at(folder.path(), "s", &["sh", "-c", wait_for_size, "sh"], &words);
    sized(&terminal, 33, 101);
    fs::write(folder.path().join("sized"), "").unwrap();
    terminal.says("size 33 101");
    terminal.says("ready");
    for (rows, columns) in [(44, 91), (10, 20)] {
        sized(&terminal, rows, columns);
        terminal.says(&format!("size {rows} {columns}"));
    }
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.code(), Some(3), "{}", terminal.shown());
}

#[test]
fn ctrl_c_reaches_the_program_once() {
    let folder = kept(&value());
    let mut terminal = script(&folder, HEARS);
    terminal.says("ready");
    terminal.types("\x03");
    terminal.says("caught");
    // What was sent before this has arrived.
    terminal.signal(Signal::USR1);
    terminal.says("counted");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.code(), Some(3), "{}", terminal.shown());
    assert_eq!(terminal.shown().matches("caught").count(), 1, "{}", terminal.shown());
}

/// A shell has jobs only on a terminal that is its own.
#[test]
fn ctrl_z_stops_a_job_of_a_shell() {
    let folder = kept(&value());
    let mut terminal = on_terminal(&folder, &["--", "sh", "-i"]);
    wait("the shell", || !terminal.echoes());
    terminal.types("sh -c 'echo job-$((1+1)); exec sleep 60'\n");
    terminal.says("job-2");
    terminal.types("\x1a");
    terminal.says("Stopped");
    terminal.types("kill -9 %1\n");
    wait("the end", || {
        // A shell first says that it has stopped jobs.
        let _ = terminal.keys.as_mut().unwrap().write_all(b"exit 5\n");
        terminal.child.try_wait().unwrap().is_some()
    });
    assert_eq!(terminal.code(), Some(5), "{}", terminal.shown());
}

#[test]
fn the_terminal_is_as_it_was_however_the_program_or_keyroll_ends() {
    let folder = kept(&value());
    type End = fn(&mut Terminal);
    let ends: [(&str, &str, End, i32); 7] = [
        ("its end", "echo ready; read line; exit 4", |terminal| terminal.types("x\n"), 4),
        ("Ctrl-C", "echo ready; exec sleep 60", |terminal| terminal.types("\x03"), 130),
        ("SIGINT", "echo ready; exec sleep 60", |terminal| terminal.signal(Signal::INT), 130),
        ("SIGTERM", "echo ready; exec sleep 60", |terminal| terminal.signal(Signal::TERM), 143),
        ("SIGHUP", "echo ready; exec sleep 60", |terminal| terminal.signal(Signal::HUP), 129),
        (
            "SIGKILL of the program",
            "echo ready; read line; kill -9 $$",
            |terminal| terminal.types("x\n"),
            137,
        ),
        (
            "what it left behind",
            "sleep 60 & echo ready; read line; exit 6",
            |terminal| terminal.types("x\n"),
            6,
        ),
    ];
    for (what, program, end, code) in ends {
        let mut terminal = script(&folder, program);
        terminal.says("ready");
        assert!(!terminal.echoes(), "{what}: the keys are the program's");
        end(&mut terminal);
        assert_eq!(terminal.code(), Some(code), "{what}: {}", terminal.shown());
        assert!(terminal.echoes(), "{what}: {}", terminal.shown());
    }
    let mut terminal = on_terminal(&folder, &["--", "no-such-program"]);
    assert_eq!(terminal.code(), Some(127), "{}", terminal.shown());
    assert!(terminal.echoes() && terminal.shown().contains("K0404"), "{}", terminal.shown());
}

/// Nothing but keyroll's own end would give the terminal to the operator again.
#[test]
fn ctrl_c_ends_keyroll_while_something_that_the_program_left_behind_holds_its_terminal() {
    let folder = kept(&value());
    let leaves = "sh -c 'trap \"\" HUP; echo \"process $$ stays\"; exec sleep 60' & read line; exit 6";
    let mut terminal = script(&folder, leaves);
    terminal.says(" stays");
    let left = process(&terminal);
    terminal.types("x\n");
    wait("the restored terminal", || terminal.echoes());
    wait("the end", || {
        // One within a moment of the program's end counts as its own.
        let _ = terminal.keys.as_mut().unwrap().write_all(b"\x03");
        terminal.child.try_wait().unwrap().is_some()
    });
    assert_eq!(terminal.code(), Some(6), "{}", terminal.shown());
    kill_process(Pid::from_raw(left.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// The process that the program named.
fn process(terminal: &Terminal) -> String {
    let shown = terminal.shown();
    shown.split_once("process ").unwrap().1.split_once(' ').unwrap().0.to_owned()
}

/// A shell that stops keyroll finds its terminal as it was.
#[test]
fn keyroll_can_be_stopped_and_continued() {
    let folder = kept(&value());
    let mut terminal = script(&folder, HEARS);
    terminal.says("ready");
    terminal.signal(Signal::TSTP);
    wait("the restored terminal", || terminal.echoes());
    let stat = format!("/proc/{}/stat", terminal.child.id());
    wait("the stop", || fs::read_to_string(&stat).unwrap().contains(") T "));
    terminal.signal(Signal::CONT);
    wait("the keys", || !terminal.echoes());
    terminal.types("\x03");
    terminal.says("caught");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.code(), Some(3), "{}", terminal.shown());
    assert!(terminal.echoes());
}

#[test]
fn a_program_on_a_terminal_ends_when_keyroll_is_killed() {
    let folder = kept(&value());
    let mut terminal = script(&folder, "trap '' TERM HUP INT; echo \"process $$ runs\"; exec sleep 60");
    terminal.says(" runs");
    let program = process(&terminal);
    terminal.signal(Signal::KILL);
    terminal.code();
    has_ended(&program);
}

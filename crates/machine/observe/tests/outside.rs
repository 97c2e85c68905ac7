//! Sockets, open files, logs and files, seen from outside.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::parts::{Plain, Running, generated, id_of};
use keyroll_observe::{FileLimits, LogTail, OpenFile, Sockets, open_files, processes, search_files};

const WAIT: Duration = Duration::from_secs(20);

#[test]
fn a_connection_leads_to_the_process_at_its_client_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let program = format!(
        "import socket\ns = socket.create_connection(('127.0.0.1', {port}))\nprint('ready'); input()"
    );
    let mut running = Running::python(&program);
    running.line();
    let (_stream, client) = listener.accept().expect("a connection");
    let listing = processes(WAIT).expect("a listing");
    let sockets = Sockets::read(&listing, &[], WAIT).expect("the sockets");
    assert_eq!(sockets.process_of(client), Some(running.id()));
    let nobody = sockets.owners("127.0.0.1:1".parse().expect("an address"));
    assert!(!nobody.connection && nobody.processes.is_empty());
    // The other end is this process's own: by the server's address, this process is not found as the client.
    assert_ne!(sockets.process_of(listener.local_addr().expect("an address")), Some(running.id()));
}

/// The kernel hands a client's port out again for a connection to another server.
#[test]
fn a_port_that_two_processes_use_leads_to_the_one_that_talks_to_the_server() {
    let servers: [TcpListener; 2] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let mut port = 0;
    let mut clients = Vec::new();
    for server in &servers {
        let to = server.local_addr().expect("an address").port();
        let mut running = Running::python(&format!(
            "import socket\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
             s.bind(('127.0.0.1', {port}))\ns.connect(('127.0.0.1', {to}))\nprint(s.getsockname()[1]); input()"
        ));
        port = running.line().parse().expect("a port");
        clients.push((running, server.accept().expect("a connection"), to));
    }
    let client = clients[0].1.1;
    assert_eq!(client, clients[1].1.1, "both come from one address");
    let listing = processes(WAIT).expect("a listing");
    let seen =
        |servers: &[u16]| Sockets::read(&listing, servers, WAIT).expect("the sockets").process_of(client);
    assert_eq!(seen(&[]), None);
    for (running, _, to) in &clients {
        assert_eq!(seen(&[*to]), Some(running.id()));
    }
}

#[test]
fn a_connection_that_two_processes_share_belongs_to_no_single_one() {
    let listener =
        TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let program = format!(
        "import os, socket\ns = socket.create_connection(('{}', {}))\npid = os.fork()\nif pid == 0:\n  import time; time.sleep(60)\nprint(pid); input(); os.kill(pid, 9); os.wait()",
        address.ip(),
        address.port()
    );
    let mut running = Running::python(&program);
    let worker = id_of(running.line().parse().expect("a number"));
    let (_stream, client) = listener.accept().expect("a connection");
    let listing = processes(WAIT).expect("a listing");
    let sockets = Sockets::read(&listing, &[], WAIT).expect("the sockets");
    let owners = sockets.owners(client).processes;
    assert!(owners.contains(&worker) && owners.contains(&running.id()) && owners.len() == 2);
    assert_eq!(sockets.process_of(client), None);
    running.tell("end");
    running.child.wait().expect("it ends");
}

#[test]
fn open_and_replaced_files_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.env");
    std::fs::write(&path, "A=b\n").expect("a file");
    let mut running = Running::python("p = input(); f = open(p); print('ready'); input()");
    running.tell(path.to_str().expect("text"));
    running.line();
    let listing = processes(WAIT).expect("a listing");
    let who_opened = |path: &Path, removed: bool| {
        let path = path.canonicalize().expect("a file");
        let (mut found, mut all) = (Vec::new(), Vec::new());
        all.extend(listing.seen.iter().map(|process| process.id));
        open_files(&all, WAIT, &mut |process, answer| {
            let has = |open: &OpenFile| open.path == path && open.removed == removed;
            found.extend(answer.is_ok_and(|open| open.iter().any(has)).then_some(*process));
        });
        found
    };
    assert_eq!(who_opened(&path, false), [running.id()]);
    std::fs::write(folder.path().join("new"), "A=c\n").expect("a file");
    std::fs::rename(folder.path().join("new"), &path).expect("a rename");
    assert!(who_opened(&path, false).is_empty());
    assert_eq!(who_opened(&path, true), [running.id()]);
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::File::options().append(true).create(true).open(path).expect("a log");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn a_log_is_counted_from_its_remembered_end_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("app.log");
    append(&log, "login ok\nauthentication failed\n");
    let mut tail = LogTail::at_end(&log, "login ok", "authentication failed").expect("a log");
    assert_eq!(tail.look().expect("read").lines, 0, "what was there before does not count");
    append(&log, "login ok\nsomething\nlogin ok but authentication failed\nlogin");
    let counts = tail.look().expect("read");
    assert_eq!((counts.successes, counts.failures, counts.lines, counts.gap), (1, 1, 3, false));
    append(&log, " ok\n");
    // Another run of keyroll continues from the stored position.
    let mut later = LogTail::at(&log, "login ok", "failed", tail.position()).expect("a log");
    assert_eq!(later.look().expect("read").successes, 1, "a line is counted when it is whole");
}

#[test]
fn a_rotated_log_is_read_to_its_end_and_a_cut_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("app.log");
    append(&log, "login ok\n");
    let mut tail = LogTail::at_end(&log, "ok", "failed").expect("a log");
    append(&log, "login ok\n");
    std::fs::rename(&log, folder.path().join("app.log.1")).expect("a rename");
    append(&log, "login failed\n");
    let counts = tail.look().expect("read");
    assert_eq!((counts.successes, counts.failures, counts.gap), (1, 1, false));
    std::fs::write(&log, "ok\n").expect("cut off");
    let counts = tail.look().expect("read");
    assert_eq!((counts.successes, counts.gap), (1, true));
    // While it is held open it is read to its end, whatever happens to its name; another run of keyroll cannot do that.
    let place = tail.position();
    append(&log, "failed\n");
    std::fs::remove_file(&log).expect("removed");
    append(&log, "ok\n");
    let counts = tail.look().expect("read");
    assert_eq!((counts.successes, counts.failures, counts.gap), (1, 1, false));
    let mut later = LogTail::at(&log, "ok", "failed", place).expect("a log");
    assert!(later.look().expect("read").gap, "a log that vanished may have held failures");
    std::fs::remove_file(&log).expect("removed");
    assert!(tail.look().expect("read").absent);
}

#[test]
fn nothing_is_skipped_between_two_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, first, second) =
        (folder.path().join("app.log"), folder.path().join("app.log.1"), folder.path().join("app.log.2"));
    append(&first, "failed long ago\n");
    append(&log, "ok\n");
    let mut tail = LogTail::at_end(&log, "ok", "failed").expect("a log");
    let place = tail.position();
    // Rotated twice, while the writer switches late to the new file.
    std::fs::remove_file(&first).expect("removed");
    std::fs::rename(&log, &first).expect("a rename");
    append(&log, "failed: between\n");
    append(&first, "failed: late\n");
    std::fs::rename(&first, &second).expect("a rename");
    std::fs::rename(&log, &first).expect("a rename");
    append(&first, "failed: still between\n");
    append(&log, "failed: now\n");
    let counts = tail.look().expect("read");
    assert_eq!((counts.failures, counts.gap), (4, false));
    append(&second, "failed: later still\n");
    assert_eq!(tail.look().expect("read").failures, 1);
    // So does another run of keyroll, from the stored position on.
    let mut later = LogTail::at(&log, "ok", "failed", place).expect("a log");
    let counts = later.look().expect("read");
    assert_eq!((counts.failures, counts.gap), (5, false));
    // A file that was compressed meanwhile cannot be read.
    std::fs::rename(&first, folder.path().join("app.log.1.gz")).expect("a rename");
    let mut later = LogTail::at(&log, "ok", "failed", place).expect("a log");
    assert!(later.look().expect("read").gap);
}

#[test]
fn a_log_that_was_cut_off_and_grew_again_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("app.log");
    append(&log, "ok\nok\n");
    let mut tail = LogTail::at_end(&log, "ok", "failed").expect("a log");
    append(&log, "failed\n");
    std::fs::write(&log, "something that is longer than all that was there before\nfailed\n")
        .expect("cut off");
    let counts = tail.look().expect("read");
    assert_eq!((counts.lines, counts.failures, counts.gap), (2, 1, true));
}

#[test]
fn a_log_may_come_later_and_a_line_may_be_endless() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("app.log");
    let mut tail = LogTail::at_end(&log, "ok", "failed").expect("no log yet");
    assert_eq!(tail.look().expect("read"), Default::default());
    append(&log, &format!("{}failed\nok\n", "x".repeat(300_000)));
    let counts = tail.look().expect("read");
    assert_eq!((counts.lines, counts.successes, counts.failures, counts.gap), (2, 1, 0, false));
    assert!(LogTail::at_end(&log, "(", "x").is_err(), "a wrong pattern");
    assert!(LogTail::at_end(folder.path(), "a", "b").is_err(), "a folder is no log");
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    assert!(LogTail::at_end(&fifo, "a", "b").is_err(), "a FIFO is refused and does not block");
}

#[test]
fn files_are_searched_by_value_and_what_was_left_out_is_named() {
    let (held, other) = (generated(), generated());
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("deep/.git/objects")).expect("a folder");
    std::fs::write(at("a.env"), format!("# key\nX=1\nKEY={held} again {held}\n{held}\n")).expect("a file");
    std::fs::write(at("deep/b"), &other).expect("a file");
    std::fs::write(at("large"), vec![b'x'; 2000]).expect("a file");
    let odd = PathBuf::from(std::ffi::OsString::from_vec(b"od\xffd".to_vec()));
    std::fs::write(folder.path().join(&odd), &held).expect("a file");
    symlink(folder.path(), at("deep/ring")).expect("a link");
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("copy"), &held).expect("a file");
    symlink(elsewhere.path(), at("away")).expect("a link");
    symlink(at("a.env"), at("link")).expect("a link");
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo").success());
    let limits = FileLimits { file_bytes_max: 1000, ..FileLimits::default() };
    let roots = [folder.path().to_owned(), at("deep"), at("missing"), at("link")];
    let report = search_files(&roots, &Plain::of(&[&held, &other]), limits);
    let mut hits: Vec<(PathBuf, u64, u32)> = report
        .hits
        .iter()
        .map(|hit| {
            (
                hit.path.strip_prefix(folder.path().canonicalize().expect("a path")).expect("below").into(),
                hit.line,
                hit.id,
            )
        })
        .collect();
    hits.sort();
    let expected: [(PathBuf, u64, u32); 4] =
        [("a.env".into(), 3, 0), ("a.env".into(), 4, 0), ("deep/b".into(), 1, 1), (odd, 1, 0)];
    assert_eq!(hits, expected);
    let left = |name: &str| report.not_searched.iter().any(|one| one.path.ends_with(name));
    assert!(left("large") && left("missing") && left(".git/objects"), "{:?}", report.not_searched);
    assert_eq!(report.not_searched.len(), 3);
}

#[test]
fn file_systems_of_the_kernel_and_numbers_of_files_have_limits() {
    let report = search_files(&["/proc".into()], &Plain::of(&["absent value"]), FileLimits::default());
    assert_eq!((report.files, report.not_searched.len()), (0, 1));
    let folder = tempfile::tempdir().expect("a folder");
    for name in 0..5 {
        std::fs::write(folder.path().join(name.to_string()), "x").expect("a file");
    }
    let limits = FileLimits { files_max: 3, ..FileLimits::default() };
    let report = search_files(&[folder.path().into()], &Plain::of(&["absent value"]), limits);
    assert_eq!((report.files, report.not_searched.len()), (3, 1));
    let limits = FileLimits { wait: Duration::ZERO, ..FileLimits::default() };
    let report = search_files(&[folder.path().into()], &Plain::of(&["absent value"]), limits);
    assert!(
        report.files == 0 && !report.not_searched.is_empty(),
        "nothing searched is never an empty success"
    );
}

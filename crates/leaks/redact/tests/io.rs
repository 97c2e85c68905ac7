//! Readers, writers and the lines of a log.

use std::io::Write;

use keyroll_redact::{AsyncRedactingWriter, Patterns, RedactingReader, RedactingWriter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{needles, rules};

const TEXT: &[u8] = b"a 0123456789abcdef b tok_0123456789 c tok_01";
const CLEAN: &str = "a [redacted:api] b [redacted:form] c tok_01";

fn patterns() -> Patterns {
    Patterns::new(needles(&[("api", "0123456789abcdef")]), Some(rules()))
}

/// Runs a future of a test on one thread.
fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_reader_gives_what_was_scanned_however_small_its_buffer_is() {
    for size in [1, 3, 100] {
        let out = run(async {
            let mut reader = RedactingReader::new(TEXT, &patterns());
            let mut out = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                match reader.read(&mut buffer).await.unwrap() {
                    0 => break,
                    read => out.extend_from_slice(&buffer[..read]),
                }
            }
            assert_eq!(reader.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(reader.stream().report().count(), 2);
            out
        });
        assert_eq!(String::from_utf8(out).unwrap(), CLEAN, "{size}");
    }
}

/// The pipe takes few bytes at once, and is read slowly.
#[test]
fn an_asynchronous_writer_writes_all_of_it_through_a_narrow_pipe() {
    let out = run(async {
        let (near, mut far) = tokio::io::duplex(3);
        let write = async {
            let mut writer = AsyncRedactingWriter::new(near, &patterns());
            for piece in TEXT.chunks(5) {
                writer.write_all(piece).await.unwrap();
                writer.flush().await.unwrap();
            }
            writer.shutdown().await.unwrap();
            assert!(writer.write_all(b"more").await.is_err());
            assert_eq!(writer.report().count(), 2);
        };
        let mut out = Vec::new();
        let (_, read) = tokio::join!(write, far.read_to_end(&mut out));
        read.unwrap();
        String::from_utf8(out).unwrap()
    });
    // Cut every five bytes: heads are shown.
    let heads = out.replace("012[redacted:api]", "[redacted:api]").replace("tok[redacted", "[redacted");
    assert_eq!(heads, CLEAN, "{out}");
}

/// Takes a few bytes at a time, and refuses now and then.
struct Slow {
    taken: Vec<u8>,
    calls: usize,
}

impl Write for Slow {
    fn write(&mut self, input: &[u8]) -> std::io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        let taken = input.len().min(2);
        self.taken.extend_from_slice(&input[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_inner_writer_neither_loses_nor_repeats_output() {
    let mut writer = RedactingWriter::new(Slow { taken: Vec::new(), calls: 0 }, &patterns());
    for piece in [b"before ".as_slice(), b"0123", b"456789abcdef after"] {
        while writer.write(piece).is_err() {}
    }
    while writer.finish().is_err() {}
    assert_eq!(String::from_utf8_lossy(&writer.get_ref().taken), "before 0123[redacted:api] after");
}

#[cfg(feature = "tracing")]
mod log {
    use std::sync::{Arc, Mutex};

    use keyroll_redact::layer::{LogPatterns, RedactingMakeWriter};

    use super::*;

    /// What was written, each time.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, input: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(input.to_vec());
            Ok(input.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(sink: &Sink, watched: &LogPatterns, events: impl FnOnce()) {
        let there = sink.clone();
        let lines = tracing_subscriber::fmt()
            .with_writer(RedactingMakeWriter::new(move || there.clone(), watched))
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(lines, events);
    }

    /// Also one that ends in what might become a value: lines of several threads do not mix.
    #[test]
    fn a_line_of_a_log_leaves_in_one_write() {
        let sink = Sink::default();
        logged(&sink, &LogPatterns::new(patterns()), || {
            tracing::info!("begins 01234567");
            tracing::info!("then tok_0123");
            tracing::info!("0123456789abcdef and {}", "x".repeat(100_000));
        });
        let writes = sink.0.lock().unwrap();
        let ends = ["begins 01234567\n", "then tok_0123\n", "xxx\n"];
        assert_eq!(writes.len(), ends.len());
        assert!(writes.iter().zip(ends).all(|(line, end)| line.ends_with(end.as_bytes())));
    }

    #[test]
    fn every_line_of_a_log_is_scanned_also_for_values_that_are_added() {
        let sink = Sink::default();
        let watched = LogPatterns::new(patterns());
        logged(&sink, &watched, || {
            tracing::info!(key = "0123456789abcdef", "sent tok_0123456789");
            tracing::warn!("then fedcba9876543210");
            watched.set_needles(needles(&[("api", "0123456789abcdef"), ("new", "fedcba9876543210")]));
            tracing::warn!("now fedcba9876543210 and 0123456789abcdef");
        });
        let out = String::from_utf8(sink.0.lock().unwrap().concat()).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].contains("sent [redacted:form] key=\"[redacted:api]\""), "{out}");
        assert!(lines[1].ends_with("then fedcba9876543210"), "{out}");
        assert!(lines[2].ends_with("now [redacted:new] and [redacted:api]"), "{out}");
    }
}

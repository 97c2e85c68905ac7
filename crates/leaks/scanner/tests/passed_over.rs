//! Bytes that a reader of the format would skip are scanned, in streams too.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Tree};

use crate::tars::{header, with_sum};

/// More than are read of one file.
const MANY: u32 = 600_000;

fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn line(number: usize) -> Vec<u8> {
    format!("\nk {} \n", token(number)).into_bytes()
}

fn with(look: impl Fn(&Scan<'_>)) -> Report {
    let seeker = Detector::new(KnownValues::default(), Baseline::new([7; 32]).key());
    let seeker = seeker.with_rules(Rules::shipped().unwrap());
    let scan = Scan::new(&seeker, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

fn of_stream(bytes: &[u8]) -> Report {
    with(|scan| scan.stream("stdin", &mut &*bytes))
}

fn of_file(path: &Path) -> Report {
    with(|scan| scan.tree(&Tree { paths: vec![path.to_owned()], ignored_left_out: false }))
}

/// The location of a finding within the scanned content.
fn inside(report: &Report) -> Vec<String> {
    report.findings.iter().map(|one| one.place.inside.join(" › ")).collect()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// In blocks of tar.
fn blocks(bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    all.resize(bytes.len().next_multiple_of(512), 0);
    all
}

fn member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    [header(name, kind, bytes.len()), blocks(bytes)].concat()
}

/// As POSIX writes what is said of the next member.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [format!(" {key}=").as_bytes(), value, b"\n"].concat();
    let digits = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap();
    [(rest.len() + digits).to_string().as_bytes(), &rest].concat()
}

#[test]
fn what_is_no_utf_16_in_a_text_that_begins_so_is_scanned() {
    for big in [false, true] {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let text = format!("\u{feff}a = 1\r\nkey = {}\r\n", token(1));
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
        // As a shell adds it.
        bytes.extend(line(2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, &bytes).unwrap();
        let tar = member("notes.txt", b'0', &bytes);
        for report in
            [of_file(&path), of_stream(&bytes), of_stream(&packed(&bytes)), of_stream(&packed(&tar))]
        {
            let mut lines: Vec<u64> = report.findings.iter().map(|one| one.place.start.line).collect();
            lines.sort_unstable();
            assert_eq!(lines, [2, 4], "each once");
            assert!(report.skipped.is_empty(), "{:?}", report.skipped);
        }
    }
}

#[test]
fn what_is_not_opened_is_scanned_as_raw_bytes_wherever_it_is() {
    for begins in [b"7z\xbc\xaf\x27\x1c".as_slice(), b"Rar!\x1a\x07\x01\0"] {
        let bytes = [begins, &line(1)].concat();
        let tar = member("closed", b'0', &bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("closed");
        fs::write(&path, &bytes).unwrap();
        for report in
            [of_file(&path), of_stream(&bytes), of_stream(&packed(&bytes)), of_stream(&packed(&tar))]
        {
            assert_eq!(report.findings.len(), 1);
            assert!(report.skipped[0].why.contains("which keyroll does not open"), "{:?}", report.skipped);
        }
    }
}

/// It has no magic: what begins like one may be a text.
#[test]
fn a_zlib_stream_without_a_container_is_opened_and_a_text_that_begins_like_one_is_read() {
    let deflated = |bytes: &[u8]| {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let long = [line(1), (0..MANY / 100).flat_map(u32::to_le_bytes).collect()].concat();
    let behind = [deflated(b"nothing"), line(1)].concat();
    let texts: [&[u8]; 2] = [b"x^2 + y^2", b"x^"];
    let texts = texts.map(|begins| [begins, &line(1)].concat());
    for bytes in [deflated(&line(1)), deflated(&long)].iter().chain(&texts) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        fs::write(&path, bytes).unwrap();
        let tar = member("stream", b'0', bytes);
        for report in [of_file(&path), of_stream(bytes), of_stream(&packed(&tar))] {
            assert_eq!(report.findings.len(), 1, "{:?}", bytes.get(..20));
            assert!(report.skipped.is_empty(), "{:?}", report.skipped);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    fs::write(&path, behind).unwrap();
    assert_eq!(of_file(&path).findings.len(), 1, "behind its end");
}

/// Most of its content is compressed.
#[test]
fn a_pdf_is_named_and_its_raw_bytes_are_scanned() {
    let pdf = [b"%PDF-1.7\n1 0 obj << /Filter /FlateDecode >> stream\n".as_slice(), &line(1)].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    fs::write(&path, &pdf).unwrap();
    let tar = member("report.pdf", b'0', &pdf);
    for report in [of_file(&path), of_stream(&pdf), of_stream(&packed(&tar))] {
        assert_eq!(report.findings.len(), 1);
        let whys: Vec<&str> = report.skipped.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(whys, ["compressed parts of a PDF are not opened: scanned as raw bytes"]);
    }
}

#[test]
fn what_is_said_of_a_member_of_a_tar_is_scanned() {
    let long = |number| [vec![b'x'; 70_000], line(number)].concat();
    let tar = [
        member("first", b'x', &record("SCHILY.xattr.user.note", &line(1))),
        member("a", b'0', b"nothing"),
        member("second", b'x', &record("comment", &long(2))),
        member("third", b'L', &long(3)),
        member("fourth", b'X', &record("comment", &line(4))),
        member("fifth", b'g', &record("comment", &line(5))),
        member("sixth", b'K', &line(6)),
        member("b", b'0', &packed(&line(7))),
    ];
    let report = of_stream(&packed(&tar.concat()));
    let found = inside(&report);
    for name in ["first", "second", "third", "fourth", "fifth", "sixth"] {
        assert_eq!(found.iter().filter(|place| *place == name).count(), 1, "{name}: {found:?}");
    }
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn a_member_of_a_tar_has_the_size_that_is_said_of_it() {
    let content = packed(&line(1));
    let size = record("size", content.len().to_string().as_bytes());
    let tar = [
        member("x", b'x', &[record("path", b"named"), size].concat()),
        member("y", b'K', b"elsewhere"),
        header("short", b'0', 0),
        blocks(&content),
        member("b", b'0', &packed(&line(2))),
        vec![0; 1024],
    ];
    let report = of_stream(&packed(&tar.concat()));
    assert_eq!(inside(&report), ["b", "named"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    // What holes a file has may stand in further headers.
    let mut holes = header("holes", b'S', 5);
    holes[257..265].copy_from_slice(b"ustar  \0");
    holes[482] = 1;
    let mut further = vec![0; 512];
    further[504] = 1;
    let tar =
        [with_sum(holes), further, vec![0; 512], blocks(b"12345"), member("b", b'0', &packed(&line(3)))];
    let report = of_stream(&packed(&tar.concat()));
    assert_eq!(inside(&report), ["b"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn no_byte_of_a_broken_tar_or_after_its_end_is_skipped() {
    let first = member("a", b'0', b"nothing");
    // Bytes in the position of a header.
    let broken = blocks(&line(1));
    let report = of_stream(&packed(&[first.clone(), broken].concat()));
    assert_eq!((inside(&report), report.skipped.len()), (vec![String::new()], 1));
    // The padding of a member's last block.
    let mut filled = member("b", b'0', b"some");
    filled[600..600 + line(2).len()].copy_from_slice(&line(2));
    let another = [filled, vec![0; 1024], member("c", b'0', &packed(&line(3))), vec![0; 1024]].concat();
    let behind = blocks(&line(4));
    let report = of_stream(&packed(&[first, vec![0; 10_240], another, behind].concat()));
    assert_eq!(inside(&report), ["", "b", "c"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

/// A member of a zip archive as it stands, and in the list.
fn zipped(name: &str, bytes: &[u8], at: u32) -> (Vec<u8>, Vec<u8>) {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let lengths = [u16::try_from(name.len()).unwrap().to_le_bytes(), [0, 0]].concat();
    // Version, flags, method, time, date.
    let fixed = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    let fixed = [fixed.as_slice(), &sum.sum().to_le_bytes(), &size, &size].concat();
    let own = [b"PK\x03\x04".as_slice(), &fixed, &lengths, name.as_bytes(), bytes].concat();
    let listed =
        [b"PK\x01\x02\x14\0".as_slice(), &fixed, &lengths, &[0; 10], &at.to_le_bytes(), name.as_bytes()];
    (own, listed.concat())
}

/// The end of a zip archive of so many members, as it is since there may be more than 65,535.
fn zip_end(members: u64, bytes: u64, at: u64) -> Vec<u8> {
    let (count, size, start) = (members.to_le_bytes(), bytes.to_le_bytes(), at.to_le_bytes());
    let record = [
        b"PK\x06\x06".as_slice(),
        &44_u64.to_le_bytes(),
        &[45, 0, 45, 0],
        &[0; 8],
        &count,
        &count,
        &size,
        &start,
    ];
    let locator = [b"PK\x06\x07".as_slice(), &[0; 4], &(at + bytes).to_le_bytes(), &[1, 0, 0, 0]];
    let end = [b"PK\x05\x06".as_slice(), &[0; 4], &[0xFF; 12], &[0; 2]];
    [record.concat(), locator.concat(), end.concat()].concat()
}

/// The most memory that this process had until now, KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_list_of_a_zip_archive_is_not_held_and_every_entry_of_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.zip");
    let (one, listed_one) = zipped("same", &packed(&line(1)), 0);
    let (two, listed_two) = zipped("same", &packed(&line(2)), u32::try_from(one.len()).unwrap());
    let (at, list) = ((one.len() + two.len()) as u64, [listed_one, listed_two].concat());
    fs::write(&path, [one, two, list.clone(), zip_end(2, list.len() as u64, at)].concat()).unwrap();
    let report = of_file(&path);
    assert_eq!(inside(&report), ["same", "same"], "{:?}", report.skipped);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);

    let path = folder.path().join("many.zip");
    let mut file = BufWriter::new(fs::File::create(&path).unwrap());
    let (own, _) = zipped("0", &[], 0);
    file.write_all(&own).unwrap();
    let mut bytes = 0;
    for number in 0..MANY {
        let (_, listed) = zipped(&format!("{number:x}/"), &[], 0);
        bytes += listed.len() as u64;
        file.write_all(&listed).unwrap();
    }
    file.write_all(&zip_end(u64::from(MANY), bytes, own.len() as u64)).unwrap();
    file.into_inner().unwrap();
    let before = peak_kib();
    let report = of_file(&path);
    assert!(report.skipped[0].why.contains("more than 200000 members"), "{:?}", report.skipped);
    let grown = peak_kib() - before;
    assert!(grown < 100 << 10, "{grown} KiB");
}

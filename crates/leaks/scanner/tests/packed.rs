//! Content packed by bzip2, xz, LZ4 and Zstandard; content that only claims to be packed; and formats that are not
//! opened.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Tree};

fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn scan(root: &Path) -> Report {
    let baseline = Baseline::new([7; 32]);
    let detector =
        Detector::new(KnownValues::default(), baseline.key()).with_rules(Rules::shipped().unwrap());
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out: true });
    scan.finish()
}

fn places(root: &Path, report: &Report) -> Vec<String> {
    let place = |one: &keyroll_scanner::Finding| {
        let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap().display().to_string();
        let way: Vec<String> = std::iter::once(path).chain(one.place.inside.iter().cloned()).collect();
        format!("{}:{}", way.join(" › "), one.place.start.line)
    };
    let mut all: Vec<String> = report.findings.iter().map(place).collect();
    all.sort();
    all
}

fn shell(script: &str, folder: &Path) {
    assert!(Command::new("bash").args(["-euc", script]).current_dir(folder).status().unwrap().success());
}

#[test]
fn what_bzip2_xz_and_lz4_packed_is_opened_however_many_streams_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("one"), format!("x\n{}\n", token(1))).unwrap();
    fs::write(root.join("two"), format!("x\n{}\n", token(2))).unwrap();
    shell(
        "(bzip2 -c one; bzip2 -1c two) > both.bz2; (xz -c one; xz -0 -C sha256 -c two; printf '\\0\\0\\0\\0') > both.xz
         tar -cJf all.txz one two; tar -cjf all.tbz one two; xz --block-size=16 -T1 -c one > blocks.xz
         xz --x86 --lzma2 -c two > filter.xz; bzip2 -c < /dev/null > empty.bz2; xz -c < /dev/null > empty.xz
         python3 -c \"
import zipfile
with zipfile.ZipFile('all.zip', 'w', zipfile.ZIP_BZIP2) as z: z.write('one')\"
         (lz4 -qc one; lz4 -qc < /dev/null; lz4 -qc -B4 --content-size two) > both.lz4; tar -c one two | lz4 -q9c > all.tar.lz4
         (printf 'x\\n'; head -c 9000000 /dev/zero | tr '\\0' '\\n'; cat one) | lz4 -qc > long.lz4
         lz4 -qc < /dev/null > empty.lz4
         rm one two",
        root,
    );
    let report = scan(root);
    assert_eq!(
        places(root, &report),
        [
            "all.tar.lz4 › one:2",
            "all.tar.lz4 › two:2",
            "all.tbz › one:2",
            "all.tbz › two:2",
            "all.txz › one:2",
            "all.txz › two:2",
            "all.zip › one:2",
            "blocks.xz:2",
            "both.bz2:2",
            "both.bz2:4",
            "both.lz4:2",
            "both.lz4:4",
            "both.xz:2",
            "both.xz:4",
            "filter.xz:2",
            "long.lz4:9000003",
        ]
    );
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn what_is_cut_or_changed_is_read_as_far_as_it_goes_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // More than a block of bzip2 at its smallest.
    let mut text = format!("x {} y\n", token(1)).into_bytes();
    text.extend(
        (0..60_000_u32).flat_map(|number| format!("{:x}\n", number.wrapping_mul(2_654_435_761)).into_bytes()),
    );
    fs::write(root.join("a"), text).unwrap();
    shell("bzip2 -1kc a > a.bz2; xz -c a > a.xz; lz4 -qc -B4 a > a.lz4; rm a", root);
    for name in ["a.bz2", "a.xz", "a.lz4"] {
        let whole = fs::read(root.join(name)).unwrap();
        fs::write(root.join(format!("cut-{name}")), &whole[..whole.len() / 2]).unwrap();
        let mut changed = whole.clone();
        let end = changed.len();
        changed[end * 3 / 4] ^= 0x55;
        fs::write(root.join(format!("changed-{name}")), changed).unwrap();
        for length in [7, 12, 20, 40] {
            fs::write(root.join(format!("short-{length}-{name}")), &whole[..length]).unwrap();
        }
        fs::remove_file(root.join(name)).unwrap();
    }
    let report = scan(root);
    assert_eq!(
        places(root, &report),
        ["changed-a.bz2:1", "changed-a.lz4:1", "changed-a.xz:1", "cut-a.bz2:1", "cut-a.lz4:1", "cut-a.xz:1"],
        "{:?}",
        report.skipped
    );
    // Of seven bytes one does not see that it is bzip2.
    assert_eq!(report.skipped.len(), 17, "{:?}", report.skipped);
}

#[test]
fn what_was_changed_anywhere_ends_and_is_named_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text: String = (0..400).map(|line| format!("line {} of it\n", line * 7 % 50)).collect();
    fs::write(root.join("one"), text).unwrap();
    shell(
        "bzip2 -kc one > a.bz2; xz -c -C none one > a.xz; xz --x86 --delta --lzma2 -c one > b.xz; lz4 -qc one > a.lz4; rm one",
        root,
    );
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    for name in ["a.bz2", "a.xz", "b.xz", "a.lz4"] {
        let whole = fs::read(root.join(name)).unwrap();
        for number in 0..700 {
            let mut changed = whole.clone();
            for _ in 0..=next(3) {
                let at = next(changed.len());
                changed[at] = u8::try_from(next(256)).unwrap();
            }
            changed.truncate(whole.len() - if number % 5 == 0 { next(whole.len() - 20) } else { 0 });
            fs::write(root.join(format!("{number}-{name}")), changed).unwrap();
        }
    }
    let report = scan(root);
    assert!(report.findings.is_empty() && report.skipped.len() as u64 + report.skipped_left_out > 2_000);
}

#[test]
fn what_asks_for_much_memory_or_does_not_end_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("one"), token(1)).unwrap();
    // 1.2 GiB of zeros, half of it in each of two concatenated streams.
    let script = "head -c 134217728 /dev/zero > zero
        bzip2 -c zero > once; cat once once once once once > half.bz2
        xz -0c zero > once; cat once once once once once > half.xz
        tar -cf bomb.tar half.bz2 half.xz; xz -c one > dictionary.xz; rm zero once one half.*";
    shell(script, root);
    // Its header says that it needs 4 GiB. Source: the .xz file format, 3.1 and 5.3.1.
    let mut xz = fs::read(root.join("dictionary.xz")).unwrap();
    let size = 4 * (usize::from(xz[12]) + 1);
    let at = (14..12 + size).find(|at| xz[*at..*at + 2] == [0x21, 1]).unwrap();
    xz[at + 2] = 40;
    let mut sum = flate2::Crc::new();
    sum.update(&xz[12..8 + size]);
    xz[8 + size..12 + size].copy_from_slice(&sum.sum().to_le_bytes());
    fs::write(root.join("dictionary.xz"), xz).unwrap();
    let report = scan(root);
    assert!(report.findings.is_empty());
    let why = |name: &str| report.skipped.iter().find(|one| one.what.contains(name)).unwrap().why.clone();
    assert!(why("bomb.tar").contains("unpacks to far more"), "{:?}", report.skipped);
    assert!(why("dictionary.xz").contains("memory"), "{}", why("dictionary.xz"));
    assert!(report.bytes < 5 << 28, "{}", report.bytes);
}

/// A frame that is passed over.
fn passed_over(kind: u8, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [&[0x50 + kind, 0x2A, 0x4D, 0x18], length.as_slice(), text].concat()
}

#[test]
fn frames_of_zstandard_are_one_text_and_what_is_skipped_hides_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let whole = format!("x\n{}\n", token(1));
    fs::write(root.join("one"), &whole[..12]).unwrap();
    fs::write(root.join("two"), &whole[12..]).unwrap();
    fs::write(root.join("three"), format!("{}\n", token(3))).unwrap();
    shell(
        "for i in one two three; do zstd -qc $i > $i.z; lz4 -qc $i > $i.l; done; tar -cf all.tar one two three
         head -c 5000 all.tar > a; tail -c +5001 all.tar > b; (zstd -qc a; zstd -qc < /dev/null; zstd -qc b) > all.tar.zst
         gzip -c three > three.gz; rm a b all.tar one two three",
        root,
    );
    let read = |name: &str| fs::read(root.join(name)).unwrap();
    let over = |kind| passed_over(kind, b"some");
    let frames = [over(0), over(15), read("one.z"), over(3), passed_over(0, b""), read("two.z"), over(9)];
    fs::write(root.join("frames.zst"), frames.concat()).unwrap();
    let frames = [over(0), read("one.l"), over(3), read("two.l"), over(9)].concat();
    fs::write(root.join("frames.lz4"), frames).unwrap();
    let within = passed_over(5, format!("{:>9000}", token(2)).as_bytes());
    fs::write(root.join("within.zst"), [within, read("three.z")].concat()).unwrap();
    fs::write(root.join("only.zst"), passed_over(0, b"").repeat(100_000)).unwrap();
    fs::write(root.join("none.zst"), [read("three.z"), token(4).into_bytes()].concat()).unwrap();
    shell("rm *.z *.l *.gz", root);
    let report = scan(root);
    assert_eq!(
        places(root, &report),
        [
            "all.tar.zst \u{203a} three:1",
            "frames.lz4:2",
            "frames.zst:2",
            "none.zst:1",
            "within.zst:1",
            "within.zst:1",
        ]
    );
    let named: Vec<&str> = report.skipped.iter().map(|one| one.what.rsplit('/').next().unwrap()).collect();
    assert_eq!(named, ["none.zst"], "{:?}", report.skipped);
}

#[test]
fn a_head_of_what_is_skipped_that_is_cut_ends() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let whole = passed_over(15, token(1).as_bytes());
    for bytes in 4..8 {
        fs::write(root.join(format!("{bytes}")), &whole[..bytes]).unwrap();
        fs::write(root.join(format!("{bytes} behind")), [&whole, &whole[..bytes]].concat()).unwrap();
    }
    let report = scan(root);
    assert_eq!(places(root, &report), ["4 behind:1", "5 behind:1", "6 behind:1", "7 behind:1"]);
}

#[test]
fn a_tar_without_magic_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("one"), token(1)).unwrap();
    shell("gzip one; tar --format=v7 -cf old.tar one.gz; rm one.gz", root);
    let report = scan(root);
    assert_eq!(places(root, &report), ["old.tar \u{203a} one.gz:1"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn what_is_accepted_within_a_tar_hides_nothing_that_is_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let allowed = "keyroll:allow of a test";
    fs::write(root.join("one"), format!("KEY={} # {allowed}\n", token(1))).unwrap();
    fs::write(root.join("two"), format!("# {allowed}\nKEY={}\n", token(2))).unwrap();
    shell(
        "for i in one two; do tar --format=ustar -cf $i.tar $i; cp $i.tar $i-more.tar; done; rm one two",
        root,
    );
    for (number, name) in [(1, "one-more.tar"), (2, "two-more.tar")] {
        let whole = fs::read(root.join(name)).unwrap();
        fs::write(root.join(name), [whole, format!("\n{}\n", token(number)).into_bytes()].concat()).unwrap();
    }
    let report = scan(root);
    let open: Vec<_> =
        report.open().map(|one| one.place.path.as_ref().unwrap().file_name().unwrap()).collect();
    assert_eq!(open, ["one-more.tar", "two-more.tar"]);
    assert_eq!(report.findings.len(), 6, "what is accepted is told once");
}

#[test]
fn what_is_said_of_an_error_repeats_nothing_of_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut text = format!("password = \"{}\"", token(1)).into_bytes();
    text.resize(1024, b'x');
    text[257..263].copy_from_slice(b"ustar\0");
    fs::write(root.join("a"), &text).unwrap();
    let mut sized = text.clone();
    sized[124..136].copy_from_slice(&token(1).as_bytes()[..12]);
    sized[148..156].copy_from_slice(b"        ");
    let sum: u32 = sized[..512].iter().map(|byte| u32::from(*byte)).sum();
    sized[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(root.join("b"), &sized).unwrap();
    fs::write(root.join(".ignore"), format!("x\n[{}\n", token(1))).unwrap();
    shell("gzip -k a b", root);
    let report = scan(root);
    assert_eq!(places(root, &report), [".ignore:2", "a.gz:1", "a:1", "b.gz:1", "b:1"]);
    assert!(report.texts >= 5);
    let named = report.skipped.iter().map(|one| one.what.rsplit('/').next().unwrap()).collect::<Vec<_>>();
    assert!(["a", "a.gz", "b", "b.gz"].iter().all(|name| named.contains(name)), "{:?}", report.skipped);
    assert!(report.skipped.len() > 4, "the pattern is told: {:?}", report.skipped);
    for one in &report.skipped {
        assert!(!one.why.contains(&token(1)[..12]) && !one.why.contains("password"), "{one:?}");
    }
    assert!(report.skipped.iter().any(|one| one.why.contains("line 2")), "{:?}", report.skipped);
}

#[test]
fn frames_of_lz4s_legacy_format_are_one_text_with_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 1..4 {
        fs::write(root.join(number.to_string()), format!("x\n{}\n", token(number))).unwrap();
    }
    // Of more than one block, in which nothing repeats: packed it is longer than a block may be unpacked.
    let mut random = 1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()
    };
    let mut long: Vec<u8> = (0..1_200_000).flat_map(|_| next()).map(|byte| byte.max(b' ')).collect();
    long.extend(format!("\n{}\n", token(4)).into_bytes());
    fs::write(root.join("long"), &long).unwrap();
    shell(
        "(lz4 -lqc 1; lz4 -qc 2; lz4 -lqc 3; lz4 -lqc 1) > all.lz4; (tar -c 1 2 | lz4 -lqc; head -c 512 /dev/zero) > filled.lz4
         lz4 -lqc long > long.lz4; lz4 -lqc < /dev/null > empty.lz4; tar -c 3 | lz4 -lqc > odd.lz4; lz4 -lqc 2 > kernel.lz4",
        root,
    );
    let read = |name: &str| fs::read(root.join(name)).unwrap();
    let length = u32::try_from(read("2").len()).unwrap().to_le_bytes();
    fs::write(root.join("kernel.lz4"), [read("kernel.lz4"), length.to_vec()].concat()).unwrap();
    assert_eq!(read("odd.lz4")[..4], [2, 0x21, 0x4C, 0x18]);
    let over = [read("all.lz4"), passed_over(2, b"some"), read("odd.lz4")].concat();
    fs::write(root.join("over.lz4"), over).unwrap();
    shell("rm 1 2 3 long", root);
    let report = scan(root);
    assert_eq!(
        places(root, &report),
        [
            "all.lz4:2",
            "all.lz4:4",
            "all.lz4:6",
            "all.lz4:8",
            "filled.lz4 \u{203a} 1:2",
            "filled.lz4 \u{203a} 2:2",
            "kernel.lz4:2",
            "long.lz4:2",
            "odd.lz4 \u{203a} 3:2",
            "over.lz4:10",
            "over.lz4:2",
            "over.lz4:4",
            "over.lz4:6",
            "over.lz4:8",
        ]
    );
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[test]
fn a_frame_of_lz4s_legacy_format_that_is_cut_or_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text: String = (0..400).map(|line| format!("line {} of it\n", line * 7 % 50)).collect();
    fs::write(root.join("one"), text).unwrap();
    shell("lz4 -lqc one > a.lz4; rm one", root);
    let whole = fs::read(root.join("a.lz4")).unwrap();
    fs::remove_file(root.join("a.lz4")).unwrap();
    let write = |name: &str, parts: &[&[u8]]| fs::write(root.join(name), parts.concat()).unwrap();
    for length in [6, 8, 20, whole.len() - 1] {
        write(&format!("cut-{length}"), &[&whole[..length]]);
    }
    write("another-length", &[&whole, &[7, 0, 0, 0]]);
    write("text", &[&whole, b"and a text"]);
    // A block that unpacks beyond the limit: one byte, repeated many times.
    let many = [&[0x1F_u8, b'x', 1, 0][..], &vec![255; 40_000], &[0, 0x10, b'x']].concat();
    let length = u32::try_from(many.len()).unwrap().to_le_bytes();
    write("many", &[&whole[..4], &length, &many]);
    let report = scan(root);
    assert_eq!(report.skipped.len(), 7, "{:?}", report.skipped);
    let why = |name: &str| report.skipped.iter().find(|one| one.what.contains(name)).unwrap().why.as_str();
    assert!(
        why("cut-20").contains("truncated") && why("many").contains("not a block"),
        "{:?}",
        report.skipped
    );
}

#[test]
fn what_is_not_opened_is_named_and_its_bytes_are_scanned_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut squashfs = b"hsqs".to_vec();
    squashfs.resize(28, 1);
    squashfs.extend([4, 0]);
    let kinds: [(&str, &[u8]); 15] = [
        ("7-Zip", b"7z\xbc\xaf\x27\x1c\0\x04"),
        ("RAR", b"Rar!\x1a\x07\x01\0"),
        ("lzip", b"LZIP\x01\x0c"),
        ("lzop", b"\x89LZO\0\r\n\x1a\n\x10"),
        ("lrzip", b"LRZI\0\x06"),
        ("Snappy", b"\xff\x06\0\0sNaPpY"),
        ("Microsoft's CAB", b"MSCF\0\0\0\0"),
        ("rpm", b"\xed\xab\xee\xdb\x03"),
        ("dpkg", b"!<arch>\ndebian-binary   "),
        ("xar", b"xar!\0\x1c"),
        ("compress", b"\x1f\x9d\x90"),
        ("LZMA", b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("LZMA", b"\x5d\0\0\0\x04\x07\x02\0\0\0\0\0\0"),
        ("LHA", b"\x20\x11-lh5-"),
        ("squashfs", &squashfs),
    ];
    for (number, (_, head)) in kinds.iter().enumerate() {
        let bytes = [*head, b"\0 ".as_slice(), token(number).as_bytes(), b" \n"].concat();
        fs::write(root.join(format!("{number:02}")), &bytes).unwrap();
    }
    shell("mkdir in; mv 0* 1* in; tar -cf all.tar in; gzip -r in; gzip -k all.tar", root);
    let plain = fs::read(root.join("all.tar")).unwrap();
    fs::remove_file(root.join("all.tar")).unwrap();
    let report = scan(root);
    assert_eq!(report.findings.len(), 2 * kinds.len(), "{:?}", places(root, &report));
    assert_eq!(report.skipped.len(), 2 * kinds.len(), "{:?}", report.skipped);
    for (number, (name, _)) in kinds.iter().enumerate() {
        let named = |end: &str| {
            let one = report.skipped.iter().find(|one| one.what.ends_with(end)).unwrap();
            one.why.contains(&format!("packed with {name}, which keyroll does not open"))
        };
        assert!(named(&format!("in/{number:02}")) && named(&format!("in/{number:02}.gz")), "{name}");
    }
    // What is none of them.
    let others: [&[u8]; 6] =
        [b"hsqs is a word", b"xar!", b"LZIP", b"\x5d\0\0\0\0\0\0\0\0\0\0\0\0", b"a -lh5", b"!<arch>\nx.o/"];
    let baseline = Baseline::new([7; 32]);
    let detector =
        Detector::new(KnownValues::default(), baseline.key()).with_rules(Rules::shipped().unwrap());
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    for mut text in others {
        scan.stream("stdin", &mut text);
    }
    assert!(scan.finish().skipped.is_empty());
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    scan.stream("stdin", &mut plain.as_slice());
    assert_eq!(scan.finish().findings.len(), kinds.len());
}

#[test]
fn a_cut_frame_of_zstandard_is_read_as_far_as_it_goes_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Longer than the part that is held back while it is unpacked.
    let numbers = (0..300_000_u32).map(|number| format!("{:x}\n", number.wrapping_mul(2_654_435_761)));
    fs::write(root.join("a"), format!("x {} y\n{}", token(1), numbers.collect::<String>())).unwrap();
    shell("zstd -q1c a > a.zst; rm a", root);
    let whole = fs::read(root.join("a.zst")).unwrap();
    fs::write(root.join("a.zst"), &whole[..whole.len() / 2]).unwrap();
    let report = scan(root);
    assert_eq!((places(root, &report), report.skipped.len()), (vec!["a.zst:1".to_owned()], 1));
}

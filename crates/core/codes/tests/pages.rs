//! The table of codes, the pages under docs/errors and their list agree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;

const LINES_MAX: usize = 40;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/errors")
}

#[test]
fn every_number_stands_once() {
    let numbers = Code::ALL.iter().flat_map(|code| code.retired().iter().copied().chain([code.as_str()]));
    let mut seen = BTreeSet::new();
    for number in numbers {
        let digits = number.strip_prefix('K').unwrap();
        assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        assert!(seen.insert(number), "{number} stands twice");
    }
    let listed: usize = Code::AREAS.iter().map(|(_, codes)| codes.len()).sum();
    assert_eq!(listed, Code::ALL.len());
}

#[test]
fn a_retired_number_gives_the_code_that_replaced_it() {
    assert_eq!(Code::parse("K0404"), Some(Code::ProgramNotStarted));
    assert_eq!(Code::parse("k0853"), Some(Code::ProgramNotStarted));
    assert_eq!(Code::parse("K0143"), Some(Code::NegativeControlAccepted));
    assert_eq!(Code::parse("K0885"), Some(Code::Stopped), "a script, a ticket or an old log still says it");
    assert_eq!(Code::parse("K0009"), Some(Code::ConfigInvalid), "merged twice");
    assert_eq!(Code::parse("K9999"), None);
    assert_eq!(Code::parse(""), None);
}

#[test]
fn every_page_has_its_sections_and_an_example() {
    for &code in Code::ALL {
        let page = code.page();
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines.len() <= LINES_MAX, "{code}: {} lines", lines.len());
        assert_eq!(lines[0], format!("# {code}: {}", code.title()));
        let headings: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("## ")).collect();
        let [what, why, action, example] = headings[..] else { panic!("{code}: {headings:?}") };
        assert_eq!((what, action, example), ("What happened", "What to do", "How it looks"), "{code}");
        assert!(["Why keyroll refuses", "What is at risk"].contains(&why), "{code}: {why}");
        let (_, shown) = page.split_once("## How it looks").unwrap();
        assert!(shown.contains(&format!("\nerror[{code}]: ")), "{code}: its example shows another code");
    }
}

#[test]
fn no_page_is_left_without_a_code() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = Code::ALL.iter().any(|code| name == format!("{code}.md"));
        assert!(known || name == "README.md", "{name}");
    }
}

#[test]
fn links_lead_to_files() {
    for &code in Code::ALL {
        for link in code.page().split("](").skip(1) {
            let path = link.split([')', '#']).next().unwrap();
            assert!(folder().join(path).is_file(), "{code}: {path}");
        }
    }
}

#[test]
fn the_list_is_current() {
    let mut list = "# Error codes\n\nGenerated from the table of codes; do not edit by hand.\n\n\
                    An error message begins with a code: `error[K0404]: could not …`. `keyroll explain K0404` prints \
                    its page, also offline: what happened, why it matters, what to do. Numbers of earlier versions \
                    lead to the page that replaced them.\n"
        .to_owned();
    for (area, codes) in Code::AREAS {
        list += &format!("\n## {area}\n\n");
        for code in *codes {
            list += &format!("- [{code}]({code}.md): {}\n", code.title());
        }
    }
    list += "\nExit codes are listed in [docs/reference/cli.md](../reference/cli.md#exit-codes).\n";
    let file = folder().join("README.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &list).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == list, "docs/errors/README.md is not current: cargo xtask codegen");
}

//! supervisord's own code reads the lists of variables that keyroll reads and writes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use keyroll_copy::{Format, Slot, SupervisorVariable};
use keyroll_secret::SecretBytes;

use super::places::{ask, at, seen, written};
use super::{left_out, python_with, run};

/// Prints what supervisord gives a program of the section, as `options.py` reads it.
const SCRIPT: &str = "
import sys
from supervisor.options import UnhosedConfigParser, expand
from supervisor.datatypes import dict_of_key_value_pairs
parser = UnhosedConfigParser()
parser.read('copy')
text = parser.saneget('program:a', 'environment', '', do_expand=False)
known = {'ENV_X': 'known', 'ENV_QUOTED': 'kn\"own', 'ENV_TWO': 'x\",B=\"y', 'ENV_LIST': 'a,B=c', 'ENV_NONE': ''}
known.update({'program_name': 'a', 'process_num': 1})
try: all = dict_of_key_value_pairs(expand(text, known, 'environment'))
except ValueError: sys.exit()
for name, value in all.items(): print(name, value.encode('utf-8').hex())
";

#[test]
fn supervisord_reads_what_was_written() {
    let Some(python) = python_with("supervisor", "supervisor==4.3.0") else {
        return left_out("supervisor", "it cannot be installed");
    };
    for (quote, least) in [("\"", 300), ("'", 300), ("", 100)] {
        let entry = |number| format!("    K{number}={quote}old-1{quote},\n");
        let place = |number| at(Format::Ini, format!("/program:a/environment/K{number}"));
        let head = "[supervisord]\nnodaemon=true\n[program:a]\nenvironment=A=\"b\",\n";
        let written = written(Format::Ini, least, (head, "\ncommand=x\n"), entry, place);
        ask("supervisor", Command::new(&python).args(["-c", SCRIPT]), &written);
    }
}

/// The lists that supervisord and keyroll read, each with the variables that keyroll does not tell though supervisord
/// reads them: what it knows only at the start, and what a reference may change.
const LISTS: [(&str, &[&str]); 27] = [
    ("A=\"one,two\",B='x',\n  C=plain,D=\"%(ENV_X)s\",E=\"5%%\"", &[]),
    ("A=\"x%%2By\" , B = 'it\"s' ,\n\n  ; a note\n    C=\"d\" ; more", &[]),
    ("A=\"x#y;z\",B=\"''q''\"", &[]),
    ("A=\"one\"\n  B=\"two\"", &[]),
    ("A=a@b,B=\"c\"", &[]),
    ("B=\"c\",A=a@b", &[]),
    ("A=%(ENV_X)s,B=\"p-%(ENV_X)s-%(program_name)s\"", &["B"]),
    ("A=\"open", &[]),
    ("B=\"k\",A=\"open", &[]),
    ("A=", &[]),
    ("A=\"x\",", &[]),
    ("A=5%%,B=\"c\"", &[]),
    ("B=\"k\",A=x%y", &[]),
    ("B=\"k\",A=\"100%\"", &[]),
    ("B=\"k\",A=\"%(ENV_X)d\"", &[]),
    ("B=\"k\",A=\"%(nothing)s\"", &[]),
    ("B=\"k\",A=\"w-%(process_num)02d\"", &["A"]),
    ("A=a'b',B=\"k\"", &[]),
    ("A=\"a\"\"b\"", &[]),
    ("A=\u{e9}", &[]),
    ("A=\"\u{e9}\u{e9}\",B=x", &[]),
    ("A=x#y", &[]),
    ("A=\"%(ENV_QUOTED)s\"", &["A"]),
    ("A='%(ENV_QUOTED)s',B='k'", &[]),
    ("A=\"%(ENV_TWO)s\"", &["A", "B"]),
    ("A=%(ENV_LIST)s", &["A", "B"]),
    ("A=%(ENV_NONE)s,B=\"k\"", &["A", "B"]),
];

fn known(name: &str) -> Option<SecretBytes> {
    let value = match name {
        "X" => "known",
        "QUOTED" => "kn\"own",
        "TWO" => "x\",B=\"y",
        "LIST" => "a,B=c",
        "NONE" => "",
        _ => return None,
    };
    Some(SecretBytes::from(value.to_owned()))
}

/// Each list as supervisord reads it: what keyroll reads is what supervisord reads, and what it does not read keyroll
/// does not name.
#[test]
fn supervisord_agrees_on_lists_of_any_form() {
    let Some(python) = python_with("supervisor", "supervisor==4.3.0") else {
        return left_out("supervisor", "it cannot be installed");
    };
    for (list, hidden) in LISTS {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("[program:a]\nenvironment={list}\ncommand=x\n");
        fs::write(folder.path().join("copy"), &file).unwrap();
        let mut command = Command::new(&python);
        let output = run(command.args(["-c", SCRIPT]).current_dir(folder.path()), b"").unwrap();
        let theirs = seen(&output);
        for entry in Format::Ini.entries(file.as_bytes()).unwrap() {
            let Slot::At(pointer) = &entry.slot else { continue };
            let (Some(name), Ok(value)) = (pointer.steps().get(2), &entry.value) else { continue };
            // At rest nothing tells what a name beside it stands for.
            if hidden.contains(&name.as_str()) {
                continue;
            }
            let wanted = theirs.get(name).map(Vec::as_slice);
            assert_eq!(Some(value.expose()), wanted, "{list}: {name}");
            let again = Format::Ini.read(file.as_bytes(), &entry.slot).unwrap();
            assert_eq!(again.as_ref().map(|one| one.expose()), wanted, "{list}: {name}");
        }
        let settings = keyroll_copy::supervisor_settings(file.as_bytes());
        let all = settings.iter().flat_map(|one| one.variables(file.as_bytes()));
        let told = |one: SupervisorVariable| Some((one.name.clone(), one.value(&known).ok()?));
        let mut ours: BTreeMap<_, _> =
            all.filter_map(told).map(|(name, value)| (name, value.expose().to_vec())).collect();
        // Of a list that supervisord refuses, nothing is told; of the others, all that it reads but those.
        for name in hidden {
            assert!(ours.remove(*name).is_none(), "{list}: {name}");
        }
        let theirs = theirs.into_iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
        let theirs: BTreeMap<_, _> = theirs.collect();
        assert_eq!(ours, theirs, "{list}");
    }
}

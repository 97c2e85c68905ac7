//! supervisord's own code reads the lists of variables that keyroll reads and writes.

use std::fs;
use std::process::Command;

use keyroll_copy::{Format, Slot};

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
try: all = dict_of_key_value_pairs(expand(text, {'ENV_X': 'known', 'program_name': 'a'}, 'environment'))
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

/// Each list as supervisord reads it: what keyroll reads is what supervisord reads, and what it does not read keyroll
/// does not name.
#[test]
fn supervisord_agrees_on_lists_of_any_form() {
    let Some(python) = python_with("supervisor", "supervisor==4.3.0") else {
        return left_out("supervisor", "it cannot be installed");
    };
    for list in [
        "A=\"one,two\",B='x',\n  C=plain,D=\"%(ENV_X)s\",E=\"5%%\"",
        "A=\"x%%2By\" , B = 'it\"s' ,\n\n  ; a note\n    C=\"d\" ; more",
        "A=\"x#y;z\",B=\"''q''\"",
        "A=\"one\"\n  B=\"two\"",
        "A=a@b,B=\"c\"",
        "A=%(ENV_X)s,B=\"p-%(ENV_X)s-%(program_name)s\"",
        "A=\"open",
        "A=",
        "A=\"x\",",
        "A=5%%,B=\"c\"",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("[program:a]\nenvironment={list}\ncommand=x\n");
        fs::write(folder.path().join("copy"), &file).unwrap();
        let mut command = Command::new(&python);
        let output = run(command.args(["-c", SCRIPT]).current_dir(folder.path()), b"").unwrap();
        let theirs = seen(&output);
        for entry in Format::Ini.entries(file.as_bytes()).unwrap() {
            let Slot::At(pointer) = &entry.slot else { continue };
            let (Some(name), Ok(value)) = (pointer.steps().get(2), &entry.value) else { continue };
            let wanted = theirs.get(name).map(Vec::as_slice);
            assert_eq!(Some(value.expose()), wanted, "{list}: {name}");
            let again = Format::Ini.read(file.as_bytes(), &entry.slot).unwrap();
            assert_eq!(again.as_ref().map(|one| one.expose()), wanted, "{list}: {name}");
        }
        let settings = keyroll_copy::supervisor_settings(file.as_bytes());
        let all = settings.iter().flat_map(|one| one.variables(file.as_bytes()));
        let known = |name: &str| (name == "X").then(|| keyroll_secret::SecretBytes::from("known".to_owned()));
        let ours = all.filter_map(|one| Some((one.name.clone(), one.value(&known).ok()?)));
        let ours: Vec<_> = ours.map(|(name, value)| (name, value.expose().to_vec())).collect();
        let read = |(name, value): &(String, Vec<u8>)| theirs.is_empty() || theirs.get(name) == Some(value);
        assert!(ours.iter().all(read), "{list}: {:?}", ours.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

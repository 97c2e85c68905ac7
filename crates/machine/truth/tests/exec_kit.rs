//! The check for authors of programs: a good program keeps every rule, and each mistake breaks its own.

use keyroll_manager::TriedRule;
use keyroll_truth::check_store;

use crate::exec_sample::{GOOD, ITEM, Scene};

/// How many rules there are without `--write`, and with it.
const READING: usize = 8;
const ALL: usize = 17;

fn broken(rules: &[TriedRule]) -> Vec<usize> {
    rules.iter().enumerate().filter(|(_, one)| one.broken.is_some()).map(|(number, _)| number).collect()
}

#[test]
fn a_good_program_keeps_every_rule_and_holds_the_value_of_before() {
    let scene = Scene::good();
    let before = scene.text();
    let rules = check_store(&scene.command(), ITEM, false);
    assert!(rules.len() == READING && broken(&rules).is_empty(), "{rules:#?}");
    assert!(scene.text() == before, "without --write nothing is written");
    let rules = check_store(&scene.command(), ITEM, true);
    assert!(rules.len() == ALL && broken(&rules).is_empty(), "{rules:#?}");
    assert!(scene.gives(&scene.old) && scene.text() != before);
}

/// Each of these programs is wrong in another way, and breaks the rule with this number. The value of before is there again
/// in the end.
#[test]
fn each_broken_rule_is_named_and_the_value_of_before_is_there_again() {
    for (rule, part, by) in [
        (1, "'version': str(version), 'made'", "'version': str(os.getpid()), 'made'"),
        (2, "[{'version': str(version), 'labels'", "[{'version': '0', 'labels'"),
        (3, "'writable': True", "'writable': False"),
        (4, "    else:\n        refuse('other')", "    else:\n        say({'done': True})"),
        (5, "    if request.get('protocol') != 1:\n        refuse('other')\n", ""),
        (6, "    except ValueError:\n        refuse('other')", "    except ValueError:\n        sys.exit(3)"),
        (7, "        refuse('missing')", "        pass"),
        (
            9,
            "save(version + 1, request['value'])",
            "save(version + 1, request['value'].replace('$HOME', '/root'))",
        ),
        (14, "            refuse('conflict')", "            pass"),
        (15, "            refuse('conflict')", "            refuse('conflict', 'unknown')"),
    ] {
        let scene = Scene::planted(part, by);
        let rules = check_store(&scene.command(), ITEM, rule >= READING);
        assert!(broken(&rules).contains(&rule), "rule {rule} is kept: {rules:#?}");
        assert!(scene.gives(&scene.old), "rule {rule}: the value of before is lost");
        let text = format!("{rules:?}");
        assert!(!text.contains(&crate::sample::value(&scene.old)), "a value is shown");
    }
}

/// An interrupted check would lose a value that is in use.
#[test]
fn a_value_that_somebody_may_use_is_not_written_over() {
    let scene = Scene::good();
    scene.holds(7, "in-use-keyroll-test");
    let before = scene.text();
    let rules = check_store(&scene.command(), ITEM, true);
    assert!(rules.len() == READING + 1 && broken(&rules) == [READING], "{rules:#?}");
    assert!(scene.text() == before, "it was written over");
    assert!(!format!("{rules:?}").contains("in-use"), "a value is shown");
}

#[test]
fn a_program_that_cannot_be_written_back_says_so_at_the_end() {
    let scene =
        Scene::with(&GOOD.replace("        if request['over']", "        if version > 8 or request['over']"));
    let rules = check_store(&scene.command(), ITEM, true);
    assert!(broken(&rules).contains(&(ALL - 1)), "{rules:#?}");
}

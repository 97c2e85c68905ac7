//! Bad input and bad days, one named case each, with the shipped program: a value that was pasted wrongly, a manager
//! that is not there, is of another version or of another user, a service that does not come up. Each is refused,
//! rolled back, or paused with both keys valid. One line says why and what to do next, no output contains a value, and
//! the rotation can be continued or rolled back.

pub(crate) mod managers;
pub(crate) mod pasted;
pub(crate) mod units;
pub(crate) mod watched;

use zeroize::Zeroizing;

use crate::hostile::ran::Ran;
use crate::hostile::scene::{Scene, files};

/// The message has the code, the cause and the next command, and no line contains a value from a file of the scene.
#[track_caller]
fn told(scene: &Scene, ran: &Ran, code: &str, why: &str, next: &str) {
    let one = |line: &&str| [code, why, next].iter().all(|word| line.contains(word));
    assert!(ran.text.lines().any(|line| one(&line)), "no line has {code}, '{why}', '{next}': {}", ran.text);
    silent(scene, ran);
}

/// No output contained a value from a file of the scene.
#[track_caller]
fn silent(scene: &Scene, ran: &Ran) {
    let mut seen = 0;
    for file in files(&scene.dir()).into_iter().filter(|file| file.extension().is_some_and(|it| it == "env"))
    {
        let content = Zeroizing::new(std::fs::read_to_string(file).unwrap());
        for value in content.lines().filter_map(|line| line.strip_prefix("KEY=")) {
            seen += 1;
            assert!(!ran.text.contains(value), "a value was said");
        }
    }
    assert!(seen > 0, "no file holds a value");
}

//! Scenes of scripts and shells.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use keyroll_testkit::command::wait;

use crate::scenes::stage::{Scene, Stage, child};
use crate::scenes::truth::{Line, Runs, Truth, Version};

use Version::{New, Old};

/// Reads its variables, starts a program, and waits for it.
const READS: &str = "set -a\n. ./api.env\nsleep 100000\n:\n";

/// An hour, as the time of a file is set back.
const HOUR: Duration = Duration::from_secs(3600);

pub fn scenes(stage: &Stage) -> Vec<Truth> {
    let mut all = vec![
        cached(stage),
        two_copies(stage),
        fallback(stage),
        choice(stage),
        derived(stage),
        touched(stage),
        set_back(stage),
        has_read(stage),
        titled(stage),
        quoted(stage),
    ];
    all.extend(export(stage));
    all
}

fn both([shell, child]: [u32; 2], holds: &'static [Version], next: Version) -> Vec<Runs> {
    vec![Runs::new(shell, holds, next), Runs::new(child, holds, next)]
}

fn truth(
    cause: &'static str,
    name: &'static str,
    scene: &Scene<'_>,
    copies: &[(&str, Version)],
    line: Line,
) -> Truth {
    let copies = copies.iter().map(|(place, version)| (scene.at(place), *version)).collect();
    Truth { cause, name, copies, instances: Vec::new(), line: line.within(scene) }
}

fn cached(stage: &Stage) -> Truth {
    let scene = stage.scene("cached");
    scene.write("api.env", "LOG=info\nCACHED_API_KEY={old}\n");
    let pids = scene.script(".", READS);
    scene.write("api.env", "LOG=info\nCACHED_API_KEY={new}\n");
    let says = [
        "uses a STALE value",
        "environment at start holds",
        "@/api.env:2 now holds",
        "to move it: end process ",
        "and everything that it started, then run @/start.sh again",
    ];
    let copies = [("api.env:2", New)];
    let cause = "1 cached environment after an edit";
    Truth {
        instances: both(pids, &[Old], New),
        ..truth(cause, "CACHED_API_KEY", &scene, &copies, Line::of(pids[1], &says))
    }
}

fn two_copies(stage: &Stage) -> Truth {
    let scene = stage.scene("twice");
    scene.write("api/api.env", "TWICE_API_KEY={new}\n");
    scene.write("worker/api.env", "TWICE_API_KEY={old}\n");
    let (api, worker) = (scene.script("api", READS), scene.script("worker", READS));
    let says = ["uses ", "take from @/worker/api.env:1", "@/api/api.env:1 holds"];
    let copies = [("api/api.env:1", New), ("worker/api.env:1", Old)];
    let instances = [both(api, &[New], New), both(worker, &[Old], Old)].concat();
    let cause = "2 two copies and one changed";
    Truth { instances, ..truth(cause, "TWICE_API_KEY", &scene, &copies, Line::of(worker[1], &says)) }
}

/// The preferred file is a dangling link since an old release was removed: the other file is read, and nothing reports
/// that.
fn fallback(stage: &Stage) -> Truth {
    let scene = stage.scene("fallback");
    scene.write("next/primary.env", "FALL_API_KEY={new}\n");
    scene.write("app/fallback.env", "FALL_API_KEY={old}\n");
    std::os::unix::fs::symlink("../release-1/primary.env", scene.path("app/primary.env")).unwrap();
    let text =
        "set -a\nif [ -r ./primary.env ]; then . ./primary.env; else . ./fallback.env; fi\nsleep 100000\n:\n";
    let pids = scene.script("app", text);
    let says = ["take from @/app/fallback.env:1", "@/app/primary.env", "does not exist"];
    let copies = [("next/primary.env:1", New), ("app/fallback.env:1", Old)];
    let cause = "3 broken fallback path";
    Truth {
        instances: both(pids, &[Old], Old),
        ..truth(cause, "FALL_API_KEY", &scene, &copies, Line::of(pids[1], &says))
    }
}

/// The same script with both files: only the script decides which one it reads, and keyroll must not guess.
fn choice(stage: &Stage) -> Truth {
    let scene = stage.scene("choice");
    scene.write("app/primary.env", "CHOICE_API_KEY={old}\n");
    scene.write("app/second.env", "CHOICE_API_KEY={old}\n");
    let text =
        "set -a\nif [ -r ./primary.env ]; then . ./primary.env; else . ./second.env; fi\nsleep 100000\n:\n";
    let pids = scene.script("app", text);
    scene.write("app/second.env", "CHOICE_API_KEY={new}\n");
    let copies = [("app/primary.env:1", Old), ("app/second.env:1", New)];
    let says = ["version unknown", "condition"];
    let cause = "- a script that chooses";
    Truth {
        instances: both(pids, &[Old], Old),
        ..truth(cause, "CHOICE_API_KEY", &scene, &copies, Line::of(pids[1], &says))
    }
}

/// A password in three formats; the connection string was forgotten.
fn derived(stage: &Stage) -> Truth {
    let scene = stage.scene("derived");
    scene.write("api/api.env", "LEDGER_DB_PASSWORD={new}\n");
    scene.write("api/api.env.bak", "LEDGER_DB_PASSWORD={old}\n");
    scene.write("deploy/secret.yaml", "kind: Secret\ndata:\n  LEDGER_DB_PASSWORD: {new:base64}\n");
    scene.write("exporter/api.env", "LEDGER_URL=postgres://ledger:{old}@127.0.0.1:5432/ledger\n");
    let (api, exporter) = (scene.script("api", READS), scene.script("exporter", READS));
    let says = ["take from @/exporter/api.env:1", "@/api/api.env:1 holds"];
    let copies = [
        ("api/api.env:1", New),
        ("api/api.env.bak:1", Old),
        ("deploy/secret.yaml:3", New),
        ("exporter/api.env:1", Old),
    ];
    let instances = [both(api, &[New], New), both(exporter, &[Old], Old)].concat();
    let cause = "7 derived connection string not updated";
    Truth { instances, ..truth(cause, "LEDGER_DB_PASSWORD", &scene, &copies, Line::of(exporter[1], &says)) }
}

/// A shell was started with an export, and its file was changed since: programs started from it still use the export.
fn export(stage: &Stage) -> Option<Truth> {
    let tools = stage.tools.as_ref()?;
    let scene = stage.scene("export");
    scene.write(".env", "EXPORT_API_KEY={new}\n");
    scene.write(
        "worker.py",
        "import dotenv, os, time\nread = dotenv.dotenv_values('.env')\ndotenv.load_dotenv('.env')\n\
         open('ready', 'w').close()\ntime.sleep(100000)\n",
    );
    let start = format!("{} worker.py; :", tools.program("python3").display());
    let mut command = stage.command("bash", scene.folder());
    let shell = stage.start(command.args(["-c", &start]).env("EXPORT_API_KEY", scene.values.of(Old)));
    let worker = child(shell);
    wait("the worker has read its file", || scene.path("ready").exists());
    let exports = format!("what shell {shell} exports since it began");
    let says = [exports.as_str(), "@/.env:1 holds", "does not win"];
    let copies = [(".env:1", New)];
    let instances = vec![Runs::new(shell, &[Old], Old), Runs::new(worker, &[Old, New], Old)];
    let cause = "10 a parent shell's export wins";
    Some(Truth { instances, ..truth(cause, "EXPORT_API_KEY", &scene, &copies, Line::of(worker, &says)) })
}

/// Written again with the same value: judged by times alone, the process would be stale.
fn touched(stage: &Stage) -> Truth {
    let scene = stage.scene("touched");
    scene.write("api.env", "TOUCHED_API_KEY={new}\n");
    scene.write("api.env.bak", "TOUCHED_API_KEY={old}\n");
    let pids = scene.script(".", READS);
    scene.write("api.env", "TOUCHED_API_KEY={new}\n");
    let copies = [("api.env:1", New), ("api.env.bak:1", Old)];
    let says = ["uses ", "take from @/api.env:1"];
    let cause = "- a file that was only touched";
    Truth {
        instances: both(pids, &[New], New),
        ..truth(cause, "TOUCHED_API_KEY", &scene, &copies, Line::of(pids[0], &says))
    }
}

/// Changed with an old modification time, as by unpacking an archive: judged by times alone, the process would be
/// current.
fn set_back(stage: &Stage) -> Truth {
    let scene = stage.scene("back");
    scene.write("api.env", "BACK_API_KEY={old}\n");
    let pids = scene.script(".", READS);
    scene.write("api.env", "BACK_API_KEY={new}\n");
    let file = File::options().write(true).open(scene.path("api.env")).unwrap();
    file.set_modified(SystemTime::now() - HOUR).unwrap();
    let copies = [("api.env:1", New)];
    let says = ["uses a STALE value", "@/api.env:1 now holds"];
    let cause = "- a file with the time of before";
    Truth {
        instances: both(pids, &[Old], New),
        ..truth(cause, "BACK_API_KEY", &scene, &copies, Line::of(pids[1], &says))
    }
}

/// Started with one version, it has read the other since.
fn has_read(stage: &Stage) -> Truth {
    let scene = stage.scene("read");
    scene.write("api.env", "READ_API_KEY={old}\n");
    scene.write(
        "app.py",
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nkept = open('api.env').read()\n\
         open('ready', 'w').close()\ntime.sleep(100000)\n",
    );
    let pids = scene.script(".", "set -a\n. ./api.env\npython3 app.py\n:\n");
    scene.write("api.env", "READ_API_KEY={new}\n");
    come(&scene);
    let copies = [("api.env:1", New)];
    let says = ["holds several values", "environment at start holds", "memory holds"];
    let instances = vec![Runs::new(pids[0], &[Old], New), Runs::new(pids[1], &[Old, New], New)];
    let cause = "- a program that has read it since";
    Truth { instances, ..truth(cause, "READ_API_KEY", &scene, &copies, Line::of(pids[1], &says)) }
}

/// It overwrote its environment with the next version, as a process title, and still uses the old one.
fn titled(stage: &Stage) -> Truth {
    let scene = stage.scene("titled");
    scene.write("api.env", "TITLED_API_KEY={old}\n");
    scene.write(
        "app.py",
        "import ctypes, os, time\nkept = os.environ['TITLED_API_KEY']\nwhile not os.path.exists('go'): time.sleep(0.01)\n\
         text = open('/proc/self/stat').read()\nnumbers = text[text.rindex(')') + 2:].split()\n\
         start, end = int(numbers[47]), int(numbers[48])\nctypes.memset(start, 0, end - start)\n\
         ctypes.memmove(start, b'api: serving', 12)\nopen('ready', 'w').close()\ntime.sleep(100000)\n",
    );
    let pids = scene.script(".", "set -a\n. ./api.env\npython3 app.py\n:\n");
    scene.write("api.env.bak", "TITLED_API_KEY={old}\n");
    scene.write("api.env", "TITLED_API_KEY={new}\n");
    come(&scene);
    let copies = [("api.env:1", New), ("api.env.bak:1", Old)];
    let says = ["uses a STALE value", "memory holds", "@/api.env:1 now holds"];
    let cause = "- a title over the environment";
    Truth {
        instances: both(pids, &[Old], New),
        ..truth(cause, "TITLED_API_KEY", &scene, &copies, Line::of(pids[1], &says))
    }
}

/// One value in the encodings that programs write; no process uses the old one any more.
fn quoted(stage: &Stage) -> Truth {
    let scene = stage.scene("forms");
    scene.write("api.env", "FORMS_API_KEY={new}\n");
    scene.write("settings.json", "{\n  \"forms\": { \"apiKey\": \"{old}\" }\n}\n");
    scene.write("proxy.conf", "proxy_set_header Authorization \"Basic {old:base64}\";\n");
    scene.write(".netrc", "machine forms.example login api password {old}\n");
    let hex: String = scene.values.old.bytes().map(|byte| format!("{byte:02x}")).collect();
    scene.write("dump.sql", &format!("INSERT INTO settings VALUES (1, x'{hex}');\n"));
    scene.write("notes.md", "It was {old} until Monday.\n");
    let pids = scene.script(".", READS);
    let copies = [
        ("api.env:1", New),
        ("settings.json:2", Old),
        ("proxy.conf:1", Old),
        (".netrc:1", Old),
        ("dump.sql:1", Old),
        ("notes.md:1", Old),
    ];
    let says = ["uses ", "take from @/api.env:1"];
    let cause = "- one value in six forms";
    Truth {
        instances: both(pids, &[New], New),
        ..truth(cause, "FORMS_API_KEY", &scene, &copies, Line::of(pids[0], &says))
    }
}

/// Lets a program read its file, and waits until it has.
fn come(scene: &Scene<'_>) {
    let there = |name: &str| Path::new(&scene.path(name)).exists();
    fs::write(scene.path("go"), "").unwrap();
    wait("the program has gone on", || there("ready"));
}

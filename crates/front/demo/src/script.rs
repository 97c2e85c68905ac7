//! The files of the scene that hold no value: scripts, the issuer's spec, keyroll.toml.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use crate::cast::Worker;
use crate::folder::{Folder, Ports};

/// A service, the name of its worker as its scripts say it, and its env file.
const SERVICES: [(&str, &str, Option<&str>); 4] = [
    ("api", "api-$1", Some("api/api.env")),
    ("report", "report-$1", Some("report/report.env")),
    ("reader", "reader", None),
    ("forgotten", "forgotten", Some("api/api.env")),
];

/// Writes them all.
pub(crate) fn write_all(folder: &Folder, ports: Ports) -> Result<(), Failure> {
    let dir = quoted(folder.path())?;
    for (service, name, env_file) in SERVICES {
        let worker =
            if service == "forgotten" { folder.join("forgotten/mailer") } else { folder.worker_program() };
        let fill = |template: &str| -> Result<String, Failure> {
            let env_file = quoted(&folder.join(env_file.unwrap_or_default()))?;
            Ok(template
                .replace("@ENV_FILE@", &env_file)
                .replace("@PROGRAM@", &quoted(&worker)?)
                .replace("@RESTARTER@", &quoted(&folder.worker_program())?)
                .replace("@NAME@", name)
                .replace("@DIR@", &dir))
        };
        let start = match env_file {
            Some(_) => include_str!("../scene/start.sh"),
            None => include_str!("../scene/start-reader.sh"),
        };
        folder.write(format!("{service}/start.sh"), fill(start)?.as_bytes(), 0o755)?;
        let restart = fill(include_str!("../scene/restart.sh"))?;
        folder.write(format!("{service}/restart.sh"), restart.as_bytes(), 0o755)?;
    }
    for (name, template) in
        [("probe", include_str!("../scene/probe.sh")), ("nightly", include_str!("../scene/nightly.sh"))]
    {
        let script = template.replace("@PROGRAM@", &quoted(&folder.worker_program())?).replace("@DIR@", &dir);
        folder.write(format!("nightly/{name}.sh"), script.as_bytes(), 0o755)?;
    }
    let port = |name: &str| Worker::named(name).map_or(0, |worker| worker.address(ports).port()).to_string();
    for (name, template) in [
        ("acme.toml", include_str!("../scene/acme.toml")),
        ("keyroll.toml", include_str!("../scene/keyroll.toml")),
    ] {
        let text = template
            .replace("@ISSUER@", &ports.issuer().port().to_string())
            .replace("@API_1@", &port("api-1"))
            .replace("@API_2@", &port("api-2"))
            .replace("@REPORT_1@", &port("report-1"))
            .replace("@REPORT_2@", &port("report-2"))
            .replace("@READER@", &port("reader"));
        folder.write(name, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// A path as one word of a POSIX shell.
pub(crate) fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or_else(|| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("write {} into a script", path.display()))
            .because("the path is not UTF-8")
            .help("set TMPDIR to a folder with a plain name, then run keyroll demo again")
    })?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/tmp/it's here")).unwrap(), r"'/tmp/it'\''s here'");
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        write_all(&folder, Ports::find().unwrap()).unwrap();
        for name in [
            "acme.toml",
            "keyroll.toml",
            "api/start.sh",
            "reader/start.sh",
            "forgotten/restart.sh",
            "nightly/probe.sh",
            "nightly/nightly.sh",
        ] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let open = text.split('@').skip(1).find(|word| {
                word.len() > 2
                    && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
            });
            assert_eq!(open, None, "{name}");
        }
    }
}

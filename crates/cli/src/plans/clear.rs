//! Whether a value stands in the clear where only references may stand.

use keyroll_config::{IssuerRef, Secret};
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_secret::Credential;

use super::Subject;
use crate::problem::Problem;

/// Refuses a configuration or a spec that holds a value of the secret, in any encoding: the plan and the journal keep
/// the configuration's text, and neither may ever hold a value.
pub(crate) fn refuse_clear(subject: &Subject<'_>, credential: &Credential) -> Result<(), Problem> {
    let secret: &Secret = subject.secret;
    let mut builder = Needles::builder();
    // What the matcher refuses is no credential: it would occur everywhere by chance.
    let fits = |length: usize| (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&length);
    for (_, value) in credential.fields.secrets().filter(|(_, value)| fits(value.len())) {
        builder = builder.add(NeedleId(0), value);
    }
    let attempted = || format!("plan a rotation of {}", secret.name);
    let needles = builder.build();
    let needles = needles.map_err(|error| Problem::new("K0850", attempted()).because_of(&error))?;
    let refuse = |file: &std::path::Path| {
        Problem::new("K0850", attempted())
            .because(format!("a value of {} stands in {}", secret.name, file.display()))
            .help("take it out there, name the file that holds it instead, and look who read it meanwhile; then plan again")
    };
    if !needles.is_clean(subject.config_text.as_bytes()) {
        return Err(refuse(subject.config_file));
    }
    match &secret.issuer {
        IssuerRef::SpecFile(path) => match &subject.described.text {
            Some(text) if !needles.is_clean(text.as_bytes()) => Err(refuse(path)),
            Some(_) | None => Ok(()),
        },
        IssuerRef::Shipped(_) | IssuerRef::Postgres | IssuerRef::Server(_) => Ok(()),
    }
}

//! Refuses a configuration or spec that contains a plaintext value.

use keyroll_codes::Code;
use keyroll_config::{IssuerRef, Secret};
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_secret::Credential;

use super::Subject;
use crate::problem::Problem;

/// Refuses a configuration or spec that contains a value of the secret in any encoding: plan and journal store the
/// configuration's text and must never contain a value.
pub(crate) fn reject_plaintext(subject: &Subject<'_>, credential: &Credential) -> Result<(), Problem> {
    let secret: &Secret = subject.secret;
    let mut builder = Needles::builder();
    // A value that the matcher refuses is too short for a credential, and would occur everywhere by chance.
    let fits = |length: usize| (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&length);
    for (_, value) in credential.fields.secrets().filter(|(_, value)| fits(value.len())) {
        builder = builder.add(NeedleId(0), value);
    }
    let attempted = || format!("plan a rotation of {}", secret.name);
    let needles = builder.build();
    let needles =
        needles.map_err(|error| Problem::new(Code::ValueInConfig, attempted()).because_of(&error))?;
    let refuse = |file: &std::path::Path| {
        Problem::new(Code::ValueInConfig, attempted())
            .because(format!("{} has a value in {}", secret.name, file.display()))
            .help("remove it there, declare the file that holds it instead, and check who may have read it; then \
             plan again")
    };
    if !needles.is_clean(subject.config_text.as_bytes()) {
        return Err(refuse(subject.config_file));
    }
    match &secret.issuer {
        IssuerRef::SpecFile(path) => match &subject.described.text {
            Some(text) if !needles.is_clean(text.as_bytes()) => Err(refuse(path)),
            Some(_) | None => Ok(()),
        },
        IssuerRef::Shipped(_) | IssuerRef::Server(_) | IssuerRef::AwsAccessKey => Ok(()),
    }
}

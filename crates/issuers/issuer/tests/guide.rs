//! The guide's specs are specs.

use keyroll_issuer::Spec;
use keyroll_rotation::{LastUsed, Overlap};
use keyroll_secret::{Fields, SecretBytes};

const GUIDE: &str = include_str!("../../../../docs/guides/write-an-issuer.md");

#[test]
fn the_spec_in_the_guide_is_read() {
    let spec = specs().next().unwrap();
    let capabilities = spec.capabilities();
    assert_eq!(spec.id(), "acme-api-key");
    assert_eq!(capabilities.overlap, Overlap::Independent { max: 20 });
    assert_eq!(capabilities.last_used, LastUsed::PerKey { lag_ms: 300_000, granularity_ms: 60_000 });
    assert!(capabilities.disable && capabilities.label && capabilities.sessions && capabilities.attributes);
}

#[test]
fn the_small_spec_in_the_guide_is_of_a_key_that_a_person_makes() {
    let spec = specs().nth(1).unwrap();
    let hand = spec.by_hand().unwrap();
    assert!(
        !spec.needs_admin() && !spec.revokes() && !hand.steps.is_empty() && !hand.revoke_steps.is_empty()
    );
    assert_eq!(spec.fields().collect::<Vec<_>>(), [("value", true)]);
    let mut fields = Fields::new();
    fields.insert("value", SecretBytes::from("made#up-by~the_test".to_owned()), true);
    assert!(spec.faults(&fields).is_empty(), "{:?}", spec.faults(&fields));
}

/// The whole specs in the guide, in their order.
fn specs() -> impl Iterator<Item = Spec> {
    let blocks = GUIDE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with("spec = 1")).map(|block| {
        Spec::parse(block, "acme.toml").unwrap_or_else(|error| panic!("{error} ({:?})", error.help))
    })
}

/// Each way of paging that the guide's table names is one that parses.
#[test]
fn the_pages_in_the_guide_are_read() {
    let spec = include_str!("../../../../issuers/openrouter.toml");
    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `{ kind = ")?.split('`').next());
    let mut count = 0;
    for row in rows {
        let page = format!("page = {{ kind = {row}");
        let text = spec.replace("page = { kind = \"offset\", query = \"offset\" }", &page);
        Spec::parse(&text, "paged.toml").unwrap_or_else(|error| panic!("{page}: {error}"));
        count += 1;
    }
    assert_eq!(count, 6);
}

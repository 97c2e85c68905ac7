//! The guide's spec is a spec.

use keyroll_issuer::Spec;
use keyroll_rotation::{LastUsed, Overlap};

const GUIDE: &str = include_str!("../../../docs/guides/write-an-issuer.md");

#[test]
fn the_spec_in_the_guide_is_read() {
    let blocks = GUIDE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let spec = blocks.into_iter().find(|block| block.starts_with("spec = 1")).unwrap();
    let spec = Spec::parse(spec, "acme.toml").unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
    let capabilities = spec.capabilities();
    assert_eq!(spec.id(), "acme-api-key");
    assert_eq!(capabilities.overlap, Overlap::Independent { max: 20 });
    assert_eq!(capabilities.last_used, LastUsed::PerKey { lag_ms: 300_000, granularity_ms: 60_000 });
    assert!(capabilities.disable && capabilities.label && capabilities.sessions && capabilities.attributes);
}

/// Each way of paging that the guide's table names is one that parses.
#[test]
fn the_pages_in_the_guide_are_read() {
    let spec = include_str!("../../../issuers/openrouter.toml");
    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `{ kind = ")?.split('`').next());
    let mut count = 0;
    for row in rows {
        let page = format!("page = {{ kind = {row}");
        let text = spec.replace("page = { kind = \"offset\", query = \"offset\" }", &page);
        Spec::parse(&text, "paged.toml").unwrap_or_else(|error| panic!("{page}: {error}"));
        count += 1;
    }
    assert_eq!(count, 5);
}

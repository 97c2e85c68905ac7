//! What the command prints, word for word: tests/cmd/*.trycmd.

#[test]
fn transcripts() {
    let folder = std::env::temp_dir();
    trycmd::TestCases::new()
        .default_bin_name("keyroll")
        .env("COLUMNS", "100")
        .env("HOME", folder.display().to_string())
        .env("NO_COLOR", "1")
        .case("tests/cmd/*.trycmd");
}

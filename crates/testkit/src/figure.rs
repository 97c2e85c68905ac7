/// Prints a figure that was measured, as `cargo xtask figures` looks for it in the output of a test or of a benchmark: a line
/// `figure NAME: VALUE`. A test prints it at its end, so that one that fails has none.
pub fn figure(name: &str, value: &str) {
    println!("figure {name}: {value}");
}

use zeroize::Zeroizing;

/// Appends bytes. Grows into a new buffer, so that the old one is wiped and not only freed.
pub fn append_wiped(held: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    let needed = held.len() + input.len();
    if needed > held.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(input);
}

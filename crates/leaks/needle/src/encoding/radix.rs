use zeroize::Zeroizing;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// The three cores of a value in standard base64, one for each alignment.
pub(crate) fn base64(value: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    (0..3).map(move |before| core(value, before, 6, BASE64))
}

/// The three cores in the URL alphabet.
pub(crate) fn base64_url(value: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    (0..3).map(move |before| core(value, before, 6, BASE64_URL))
}

/// The five cores in base32.
pub(crate) fn base32(value: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    (0..5).map(move |before| core(value, before, 5, BASE32))
}

pub(crate) fn hex_lower(value: &[u8]) -> Zeroizing<Vec<u8>> {
    core(value, 0, 4, HEX_LOWER)
}

pub(crate) fn hex_upper(value: &[u8]) -> Zeroizing<Vec<u8>> {
    core(value, 0, 4, HEX_UPPER)
}

/// The digits that the value alone determines, with `before` bytes before it in its group.
///
/// Leaves out digits that share bits with a neighbour, so the core is found whatever the neighbours are; up to one
/// digit's bits at each end are not compared.
fn core(value: &[u8], before: usize, digit_bits: usize, alphabet: &[u8]) -> Zeroizing<Vec<u8>> {
    let (from, to) = (8 * before, 8 * (before + value.len()));
    let (first, end) = (from.div_ceil(digit_bits), to / digit_bits);
    let mut out = Zeroizing::new(Vec::with_capacity(end.saturating_sub(first)));
    for digit in first..end {
        let bit = digit * digit_bits - from;
        let byte = |index: usize| usize::from(value.get(index).copied().unwrap_or(0));
        let pair = byte(bit / 8) << 8 | byte(bit / 8 + 1);
        let shifted = pair >> (16 - digit_bits - bit % 8);
        out.extend(alphabet.get(shifted % (1 << digit_bits)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cores: impl Iterator<Item = Zeroizing<Vec<u8>>>) -> Vec<String> {
        cores.map(|core| String::from_utf8(core.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        // The expected cores exclude every digit that depends on the bytes before or after.
        assert_eq!(texts(base64(b"foobar")), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
        assert_eq!(texts(base32(b"foobar"))[0], "MZXW6YTBO");
        assert_eq!(hex_lower(b"\x00\x9a\xff").as_slice(), b"009aff");
        assert_eq!(hex_upper(b"\x00\x9a\xff").as_slice(), b"009AFF");
    }
}

//! Random letters that are the same for the same seed, so that a score can be repeated.

pub const DIGITS: &str = "0123456789";
pub const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";
pub const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub const HEX: &str = "0123456789abcdef";
pub const BASE36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
pub const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub const BASE64_URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// SplitMix64: small, and good enough for letters.
/// Source: https://prng.di.unimi.it/splitmix64.c
pub struct Random(u64);

impl Random {
    /// The same for the same seed and words. The words distinguish the slots, so that a change of one template does not
    /// change the values of others.
    pub fn of(seed: u64, words: &[&str]) -> Self {
        let all = words.iter().flat_map(|word| word.bytes().chain([0]));
        // FNV-1a.
        Self(all.fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let one = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let two = (one ^ (one >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        two ^ (two >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One of these.
    pub fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// So many letters of an alphabet.
    pub fn letters(&mut self, alphabet: &str, count: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..count).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }

    /// The same, with a letter of each kind that there is: small, capital, digit.
    pub fn mixed(&mut self, alphabet: &str, count: usize) -> String {
        loop {
            let text = self.letters(alphabet, count);
            let kinds: [fn(&u8) -> bool; 3] =
                [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
            let lacks = |kind: &fn(&u8) -> bool| {
                alphabet.bytes().any(|byte| kind(&byte)) && !text.bytes().any(|byte| kind(&byte))
            };
            if !kinds.iter().any(lacks) {
                return text;
            }
        }
    }

    /// Random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

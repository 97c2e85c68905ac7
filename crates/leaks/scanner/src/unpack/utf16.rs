use std::io::{self, Read};

use zeroize::Zeroizing;

/// The UTF-16 units that are read at once.
const UNITS: usize = 4096;

/// Reads UTF-16 as UTF-8. Invalid units become U+FFFD.
pub(crate) struct Utf16<R> {
    from: R,
    big: bool,
    /// Half a unit, and half a surrogate pair.
    byte: Option<u8>,
    high: Option<u16>,
    ready: Zeroizing<Vec<u8>>,
    given: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    /// `big`: big-endian. The input begins after the byte order mark.
    pub(crate) fn new(from: R, big: bool) -> Self {
        Self { from, big, byte: None, high: None, ready: Zeroizing::new(Vec::new()), given: 0, ended: false }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        if let Some(high) = self.high.take() {
            match char::decode_utf16([high, unit]).next() {
                Some(Ok(letter)) if letter.len_utf16() == 2 => return out.push(letter),
                _ => out.push(char::REPLACEMENT_CHARACTER),
            }
        }
        match char::decode_utf16([unit]).next() {
            Some(Ok(letter)) => out.push(letter),
            Some(Err(_)) if (0xD800..0xDC00).contains(&unit) => self.high = Some(unit),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut raw = Zeroizing::new([0_u8; 2 * UNITS]);
        let mut text = Zeroizing::new(String::with_capacity(3 * UNITS + 16));
        while text.is_empty() && !self.ended {
            let read = self.from.read(raw.as_mut())?;
            self.ended = read == 0;
            for byte in raw.get(..read).unwrap_or_default() {
                match self.byte.take() {
                    None => self.byte = Some(*byte),
                    Some(first) if self.big => self.unit(u16::from_be_bytes([first, *byte]), &mut text),
                    Some(first) => self.unit(u16::from_le_bytes([first, *byte]), &mut text),
                }
            }
        }
        self.ready.clear();
        self.ready.extend_from_slice(text.as_bytes());
        self.given = 0;
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.fill()?;
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let length = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_read_and_halves_wait() {
        let text = "key = é\u{1F511}\n";
        for big in [false, true] {
            let units = text.encode_utf16();
            let bytes: Vec<u8> =
                units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            // One byte at a time.
            let slow = bytes.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
            struct Slow(std::vec::IntoIter<Vec<u8>>);
            impl Read for Slow {
                fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                    Ok(self.0.next().map_or(0, |one| {
                        into[0] = one[0];
                        1
                    }))
                }
            }
            let mut out = String::new();
            Utf16::new(Slow(slow.into_iter()), big).read_to_string(&mut out).unwrap();
            assert_eq!(out, text);
        }
        let mut out = String::new();
        Utf16::new([0x3D, 0xD8, 0x41, 0x00].as_slice(), false).read_to_string(&mut out).unwrap();
        assert_eq!(out, "\u{FFFD}A");
    }
}

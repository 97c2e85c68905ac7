//! A frame on the wire: four bytes with its length, the highest first, then JSON.

use std::io::{self, Read};

use serde::de::DeserializeOwned;

use crate::frame::Frame;

/// The largest frame, bytes. A host sends frames of about 1 MiB.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// The version of this protocol.
pub const VERSION: u32 = 7;

/// How many bytes say how long a frame is.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is longer than a frame may be.
    #[error("a frame of {bytes} bytes is too large")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// It has another form. Nothing of it is repeated here.
    #[error("{0}")]
    Garbage(String),
}

/// The bytes of a frame, with its length before it.
///
/// # Errors
/// It is too large.
pub fn encode(frame: &Frame) -> Result<Vec<u8>, FrameError> {
    encoded(frame)
}

/// The same for what is written as a frame.
pub(crate) fn encoded(frame: &impl serde::Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, frame).map_err(|error| garbage(&error))?;
    let body = bytes.len().saturating_sub(LENGTH_BYTES);
    let too_large = || FrameError::TooLarge { bytes: u64::try_from(body).unwrap_or(u64::MAX) };
    let length = u32::try_from(body).ok().filter(|_| body <= FRAME_BYTES_MAX).ok_or_else(too_large)?;
    bytes.iter_mut().zip(length.to_be_bytes()).for_each(|(byte, part)| *byte = part);
    Ok(bytes)
}

/// The frame of these bytes, without its length.
///
/// # Errors
/// It is too large, or no frame.
pub fn decode(body: &[u8]) -> Result<Frame, FrameError> {
    decoded(body)
}

/// The same of what is read as a frame.
pub(crate) fn decoded<F: DeserializeOwned>(body: &[u8]) -> Result<F, FrameError> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge { bytes: u64::try_from(body.len()).unwrap_or(u64::MAX) });
    }
    serde_json::from_slice(body).map_err(|error| garbage(&error))
}

/// The text of such an error may repeat what was sent.
fn garbage(error: &serde_json::Error) -> FrameError {
    FrameError::Garbage(format!("no frame of this protocol, at its byte {}", error.column()))
}

/// How long the frame is that these bytes announce, checked.
pub(crate) fn length(announced: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(announced);
    let usable = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    usable.ok_or(FrameError::TooLarge { bytes: length.into() })
}

/// Reads one frame and waits for it; `None` if the input ends before it.
///
/// # Errors
/// The input ends within it, or cannot be read; it is too large, or no frame.
pub fn read_frame(input: &mut impl Read) -> io::Result<Option<Frame>> {
    read(input)
}

/// The same of what is read as a frame.
pub(crate) fn read<F: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<F>> {
    let mut announced = [0; LENGTH_BYTES];
    let (first, rest) = announced.split_at_mut(1);
    loop {
        match input.read(first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    input.read_exact(rest)?;
    let mut body = vec![0; length(announced).map_err(io::Error::other)?];
    input.read_exact(&mut body)?;
    decoded(&body).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_each_part_of_it_is_none() {
        let frame = Frame::Cancel { id: 7 };
        let bytes = encode(&frame).unwrap();
        assert_eq!(bytes, b"\0\0\0\x13{\"cancel\":{\"id\":7}}");
        assert_eq!(read_frame(&mut bytes.as_slice()).unwrap(), Some(frame));
        assert!(read_frame(&mut [].as_slice()).unwrap().is_none());
        for end in 1..bytes.len() {
            let kind = read_frame(&mut &bytes[..end]).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::UnexpectedEof, "{end} bytes");
        }
    }

    #[test]
    fn a_length_is_checked_before_anything_is_allocated_for_it() {
        let most = u32::try_from(FRAME_BYTES_MAX).unwrap();
        assert_eq!(length(most.to_be_bytes()), Ok(FRAME_BYTES_MAX));
        for bytes in [most + 1, 9 << 20, u32::MAX] {
            assert_eq!(length(bytes.to_be_bytes()), Err(FrameError::TooLarge { bytes: bytes.into() }));
        }
    }

    #[test]
    fn nothing_of_what_is_no_frame_is_repeated() {
        let said = "a-text-of-the-other-side";
        for body in [format!("{{\"{said}\":1}}"), format!("{{\"cancel\":{{\"id\":\"{said}\"}}}}")] {
            let error = decode(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(said) && error.contains("no frame"), "{error}");
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_ignored_and_a_variant_of_it_is_not() {
        assert_eq!(decode(br#"{"cancel":{"id":7,"why":"late"}}"#), Ok(Frame::Cancel { id: 7 }));
        assert!(decode(br#"{"pause":{"id":7}}"#).is_err());
    }
}

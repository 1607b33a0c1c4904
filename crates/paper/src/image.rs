//! A logo, as much of it as is looked at before it is set.

/// The most bytes of a logo.
const MOST_BYTES: usize = 512 * 1024;
/// The most pixels of a bitmap along either side: what is small as a file can be large when it is unpacked.
const MOST_PIXELS: u32 = 4096;

/// A picture: PNG or SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    bytes: Vec<u8>,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Svg,
}

/// Why bytes are not a logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// More bytes than are taken.
    #[error("the logo has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// More pixels than are taken, or none.
    #[error("the logo must have 1 to {MOST_PIXELS} pixels along each side")]
    Size,
    /// Neither of the two formats.
    #[error("the logo is neither a PNG nor an SVG in UTF-8 without a document type")]
    Format,
}

impl Logo {
    /// Takes a PNG or an SVG of at most 512 KiB, a PNG of at most 4096 pixels along each side.
    ///
    /// # Errors
    /// [`LogoError`] for anything else. What has the right head and cannot be drawn is found when a PDF is set.
    pub fn new(bytes: Vec<u8>) -> Result<Self, LogoError> {
        if bytes.len() > MOST_BYTES {
            return Err(LogoError::TooLarge);
        }
        let format = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") { png(&bytes) } else { svg(&bytes) }?;
        Ok(Self { bytes, format })
    }

    /// The media type: `image/png` or `image/svg+xml`.
    pub fn media_type(&self) -> &'static str {
        match self.format {
            Format::Png => "image/png",
            Format::Svg => "image/svg+xml",
        }
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

/// The first chunk, IHDR, begins with width and height (W3C PNG, 11.2.1).
fn png(bytes: &[u8]) -> Result<Format, LogoError> {
    let head = bytes.get(12..24).filter(|head| head.starts_with(b"IHDR")).ok_or(LogoError::Format)?;
    let side =
        |at: usize| head[at..at + 4].iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    let fits = |pixels| (1..=MOST_PIXELS).contains(&pixels);
    if fits(side(4)) && fits(side(8)) { Ok(Format::Png) } else { Err(LogoError::Size) }
}

/// A document type could declare entities that grow without bound, so none is taken.
fn svg(bytes: &[u8]) -> Result<Format, LogoError> {
    let text = std::str::from_utf8(bytes).map_err(|_| LogoError::Format)?;
    let plain = text.contains("<svg") && !text.contains("<!DOCTYPE") && !text.contains("<!ENTITY");
    if plain && text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        Ok(Format::Svg)
    } else {
        Err(LogoError::Format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    #[test]
    fn a_bitmap_that_unpacks_to_much_is_refused() {
        assert!(Logo::new(png_of(4096, 1)).is_ok());
        assert_eq!(Logo::new(png_of(4097, 1)), Err(LogoError::Size));
        assert_eq!(Logo::new(png_of(u32::MAX, u32::MAX)), Err(LogoError::Size));
        assert_eq!(Logo::new(png_of(0, 1)), Err(LogoError::Size));
        assert_eq!(Logo::new(b"\x89PNG\r\n\x1a\n".to_vec()), Err(LogoError::Format));
        assert_eq!(Logo::new(vec![b' '; MOST_BYTES + 1]), Err(LogoError::TooLarge));
    }

    #[test]
    fn a_drawing_without_a_document_type_is_taken() {
        let taken = |text: &str| Logo::new(text.as_bytes().to_vec()).map(|logo| logo.media_type());
        assert_eq!(taken("<?xml version='1.0'?><svg/>"), Ok("image/svg+xml"));
        for text in ["", "svg", "<html/>", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>", "GIF89a"] {
            assert_eq!(taken(text), Err(LogoError::Format), "{text}");
        }
    }
}

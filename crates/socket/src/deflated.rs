//! DEFLATE between a client and its server (RFC 1951), as IMAP has it (RFC 4978 §4). Pure.

use std::fmt;
use std::io;

use bytes::{Buf as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// How much comes out of one step, whatever went in: what little inflates to much takes no more memory than what does not.
pub(crate) const STEP_BYTES: usize = 4 << 10;
/// The window of what goes out: a quarter of the memory of the largest, for little less compression.
const WINDOW_BITS: u8 = 13;

/// The two directions of a connection. Takes about 250 KiB.
pub(crate) struct Deflated {
    inflate: Decompress,
    /// What the client has sent and was not inflated.
    arrived: BytesMut,
    /// Whether there may be more inside than has come out.
    is_pent_up: bool,
    /// Whether the client has ended its stream, and all of it has come out.
    is_over: bool,
    deflate: Compress,
    /// What is to go out.
    packed: BytesMut,
}

impl fmt::Debug for Deflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflated").finish_non_exhaustive()
    }
}

impl Deflated {
    /// For a connection whose client has sent `arrived` after it was told to begin.
    pub(crate) fn new(arrived: BytesMut) -> Self {
        Self {
            inflate: Decompress::new(false),
            arrived,
            is_pent_up: false,
            is_over: false,
            deflate: Compress::new_with_window_bits(Compression::fast(), false, WINDOW_BITS),
            packed: BytesMut::new(),
        }
    }

    /// Where what the client sends is put before [`Self::inflate`].
    pub(crate) fn arrived(&mut self) -> &mut BytesMut {
        &mut self.arrived
    }

    /// Appends some of what the client has sent: how many bytes; `None` at the end of its stream, 0 when more has to arrive first.
    ///
    /// # Errors
    /// When it is not DEFLATE.
    pub(crate) fn inflate(&mut self, input: &mut BytesMut) -> io::Result<Option<usize>> {
        if self.is_over {
            return Ok(None);
        }
        while !self.arrived.is_empty() || self.is_pent_up {
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let mut step = [0; STEP_BYTES];
            let status = self.inflate.decompress(&self.arrived, &mut step, FlushDecompress::Sync)?;
            let came = usize::try_from(self.inflate.total_out() - written).unwrap_or(STEP_BYTES);
            let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
            self.arrived.advance(read.min(self.arrived.len()));
            self.is_pent_up = came == STEP_BYTES;
            self.is_over = status == Status::StreamEnd;
            if came > 0 {
                input.extend_from_slice(step.get(..came).unwrap_or_default());
                return Ok(Some(came));
            }
            if self.is_over {
                return Ok(None);
            }
            if read == 0 {
                break;
            }
        }
        Ok(Some(0))
    }

    /// What is to go out, with all of `out`, which is empty afterwards: the client can read all of it.
    ///
    /// # Errors
    /// None that is known of.
    pub(crate) fn pack(&mut self, out: &mut BytesMut) -> io::Result<&mut BytesMut> {
        while !out.is_empty() {
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            let mut step = [0; STEP_BYTES];
            self.deflate.compress(out, &mut step, FlushCompress::None)?;
            self.take(&step, written);
            let read = usize::try_from(self.deflate.total_in() - read).unwrap_or(usize::MAX);
            out.advance(read.min(out.len()));
            if out.is_empty() {
                self.flush()?;
            }
        }
        Ok(&mut self.packed)
    }

    /// Gives back the memory that nothing is in.
    pub(crate) fn release(&mut self) {
        for buffer in [&mut self.arrived, &mut self.packed] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Everything that went in comes out, to a byte's end (RFC 4978 §4).
    fn flush(&mut self) -> io::Result<()> {
        loop {
            let written = self.deflate.total_out();
            let mut step = [0; STEP_BYTES];
            self.deflate.compress(&[], &mut step, FlushCompress::Sync)?;
            if self.take(&step, written) < STEP_BYTES {
                return Ok(());
            }
        }
    }

    /// Keeps what has come out since so many bytes had.
    fn take(&mut self, step: &[u8], written: u64) -> usize {
        let came = usize::try_from(self.deflate.total_out() - written).unwrap_or(STEP_BYTES);
        self.packed.extend_from_slice(step.get(..came).unwrap_or_default());
        came
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that comes out of what arrives, and the most at once.
    fn inflated(to: &mut Deflated, arrived: &[u8]) -> (Vec<u8>, usize) {
        let (mut all, mut most) = (BytesMut::new(), 0);
        to.arrived().extend_from_slice(arrived);
        while let Some(came @ 1..) = to.inflate(&mut all).unwrap() {
            most = most.max(came);
        }
        (all.to_vec(), most)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_at_each_flush(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 0..8),
            cut in 1_usize..5_000,
        ) {
            let (mut from, mut to) = (Deflated::new(BytesMut::new()), Deflated::new(BytesMut::new()));
            for line in lines {
                let mut out = BytesMut::from(line.as_slice());
                let packed = from.pack(&mut out).unwrap().split();
                let came: Vec<u8> = packed.chunks(cut).flat_map(|piece| inflated(&mut to, piece).0).collect();
                prop_assert_eq!(came, line);
            }
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            crate::fuzz::deflated(&bytes);
        }
    }

    #[test]
    fn a_stream_that_its_client_ends_is_over() {
        let (mut last, mut packed) = (Compress::new(Compression::fast(), false), Vec::with_capacity(100));
        last.compress_vec(b"a LOGOUT\r\n", &mut packed, FlushCompress::Finish).unwrap();
        let (mut to, mut all) = (Deflated::new(BytesMut::from(packed.as_slice())), BytesMut::new());
        // Nothing has to arrive for it, and nothing that does is looked at.
        assert_eq!(to.inflate(&mut all).unwrap(), Some(10));
        assert_eq!(to.inflate(&mut all).unwrap(), None);
        to.arrived().extend_from_slice(&packed);
        assert_eq!(to.inflate(&mut all).unwrap(), None);
        assert_eq!(all.as_ref(), b"a LOGOUT\r\n");
    }

    #[test]
    fn what_inflates_to_much_comes_in_small_pieces() {
        let (mut from, mut to) = (Deflated::new(BytesMut::new()), Deflated::new(BytesMut::new()));
        let mut out = BytesMut::zeroed(1 << 20);
        let packed = from.pack(&mut out).unwrap().split();
        assert!(packed.len() < 16 << 10, "{}", packed.len());
        let (all, most) = inflated(&mut to, &packed);
        assert_eq!((all.len(), most), (1 << 20, STEP_BYTES));
    }
}

//! Commands out of a stream of bytes, bounded before anything looks at their grammar.
//!
//! A command is one line, or several with literals between them (RFC 9051 §4.3): a line that ends in `{n}` or `{n+}` (RFC 7888) is
//! followed by n bytes of any kind, and by the command's next line. With a tilde in front the bytes are a literal8.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

#[cfg(test)]
mod tests;

/// How long the lines of one command may be together, line ends aside. RFC 7162 §4 asks for 8,192 bytes at least; sets of many UIDs
/// are longer than that.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// How many literals a command may have. MULTIAPPEND (RFC 3502) has one for each message.
pub const MAX_LITERALS: usize = 64;

/// A tag that is longer is none.
const MAX_TAG_BYTES: usize = 64;

/// A second word that is longer is not that of any command.
const MAX_WORD_BYTES: usize = 32;

/// Digits of the largest `u64`.
const MAX_DIGITS: usize = 20;

/// What is kept of a line that is passed over: enough to see a literal announced at its end.
const TAIL_BYTES: usize = 32;

/// What is reserved for a literal before its bytes are there. An announcement alone must not cost memory.
const FIRST_RESERVE_BYTES: usize = 64 * 1024;

/// One command as it came: its text lines without line ends and without literal announcements, and the literals between them. There
/// is one text more than there are literals.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The lines.
    pub texts: Vec<Bytes>,
    /// The literals: each stands between two lines.
    pub literals: Vec<Literal>,
}

/// The bytes of a literal.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal {
    /// All of them.
    pub bytes: Bytes,
    /// Whether it was announced as a literal8, by `~{n}`.
    pub is_binary: bool,
}

/// Commands have passwords in them: only sizes are shown.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<usize> = self.texts.iter().map(Bytes::len).collect();
        f.debug_struct("Input").field("texts_bytes", &bytes).field("literals", &self.literals).finish()
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, is_binary } = self;
        f.debug_struct("Literal").field("bytes", &bytes.len()).field("is_binary", is_binary).finish()
    }
}

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole command.
    Command(Input),
    /// The command's next literal is announced; nothing of it is taken until [`Framer::accept`] or [`Framer::refuse`] is called.
    Literal(Announced),
    /// A command with more than [`MAX_TEXT_BYTES`] of text or [`MAX_LITERALS`] literals. It was passed over to its end, which is also
    /// where it announces a literal that the client would wait for.
    TooLong {
        /// Its tag, if it has one.
        tag: Option<String>,
    },
}

/// A literal that has been announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// How long it is.
    pub bytes: u64,
    /// Whether the client waits for a continuation request before it sends it.
    pub is_sync: bool,
    /// The command's tag, if it has one.
    pub tag: Option<String>,
    /// The command's second word in upper case, such as `APPEND`; empty if that is no word.
    pub command: String,
    /// How many bytes of literals have been taken in this command before.
    pub before: usize,
}

/// A line was longer than asked for; its bytes were dropped as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line too long")]
pub struct TooLong;

/// Collects received bytes and cuts them into commands.
///
/// Lines end in CRLF. A bare LF is taken for an end as well, as other servers do: it cannot occur inside of a line. A bare CR ends
/// nothing. Each byte is looked at once, however few come at a time, and what is kept is never more than the text of one command, the
/// literals that were accepted, and what was read last.
#[derive(Default)]
pub struct Framer {
    buffer: BytesMut,
    /// So many bytes at the buffer's beginning have no LF among them.
    scanned: usize,
    /// The command so far.
    command: Input,
    text_bytes: usize,
    literal_bytes: usize,
    state: State,
    /// How long the line or literal is that has begun, until [`Framer::part`] tells it.
    part: Option<u64>,
    /// Whether [`Framer::line`] is dropping a line that is too long.
    is_line_too_long: bool,
}

/// Commands have passwords in them: they are not shown.
impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}

/// What the next bytes are.
#[derive(Default)]
enum State {
    /// A line of a command.
    #[default]
    Text,
    /// Unknown until the session has decided.
    Announced(Announcement),
    /// A literal.
    Literal { bytes: Vec<u8>, left: u64, is_binary: bool },
    /// The rest of a command that nobody wants: of a literal, and then of lines. The event is given out at its end.
    Skip { left: u64, event: Option<Event> },
}

/// What a look at the buffer came to.
enum Step {
    /// There is something to tell.
    Event(Event),
    /// The state is another one now.
    Again,
    /// More bytes are needed.
    Wait,
}

impl Framer {
    /// Where received bytes are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// What has come next; `None` until more bytes come, or until an announced literal has been decided about. Cheap when there is
    /// nothing new.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends and then goes on misleads")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let step = match &mut self.state {
                State::Text => self.text(),
                State::Announced(_) => Step::Wait,
                State::Literal { .. } => self.literal(),
                State::Skip { .. } => self.skip(),
            };
            match step {
                Step::Event(event) => return Some(event),
                Step::Again => {}
                Step::Wait => return None,
            }
        }
    }

    /// Takes the literal that was announced last. Without one, nothing happens.
    pub fn accept(&mut self) {
        if let State::Announced(Announcement { bytes: left, is_binary, .. }) = self.state {
            self.state = State::Literal { bytes: Vec::new(), left, is_binary };
            self.part = Some(left);
        }
    }

    /// Does not take the literal that was announced last, and gives its command up. If the client waits for a continuation request, the
    /// command ends here. Otherwise its bytes and the rest of the command come nevertheless: they are dropped as they come.
    /// Without an announced literal, nothing happens.
    pub fn refuse(&mut self) {
        if let State::Announced(Announcement { bytes: left, is_sync, .. }) = self.state {
            self.begin();
            if !is_sync {
                self.state = State::Skip { left, event: None };
                self.part = Some(left);
            }
        }
    }

    /// A bare line, as responses of AUTHENTICATE and the end of IDLE are: of at most `max` bytes, without its end. `None` until more
    /// bytes come, and in the middle of a command.
    pub fn line(&mut self, max: usize) -> Option<Result<Bytes, TooLong>> {
        if !matches!(self.state, State::Text) || !self.command.texts.is_empty() {
            return None;
        }
        let Some(end) = self.find_end() else {
            // One byte more may be the CR of its end.
            if self.is_line_too_long || self.buffer.len() > max.saturating_add(1) {
                self.is_line_too_long = true;
                self.buffer.clear();
                self.scanned = 0;
            }
            return None;
        };
        let line = self.take_line(end);
        let is_too_long = std::mem::take(&mut self.is_line_too_long) || line.len() > max;
        Some(if is_too_long { Err(TooLong) } else { Ok(line) })
    }

    /// Whether nothing is left of what has been received: neither bytes nor a part of a command. What comes before a TLS
    /// handshake must not be taken for what comes after it.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
            && matches!(self.state, State::Text)
            && self.command.texts.is_empty()
            && !self.is_line_too_long
    }

    /// How many bytes the literal has, taken or passed over, that has begun since this was asked last; 0 if it is a line that has begun
    /// after a literal or a command that was passed over. `None` while what is to come is still the same.
    pub fn part(&mut self) -> Option<u64> {
        self.part.take()
    }

    /// Reads a line of a command.
    fn text(&mut self) -> Step {
        if self.is_line_too_long {
            // The end of a line whose beginning was dropped is no command.
            let Some(end) = self.find_end() else {
                self.buffer.clear();
                self.scanned = 0;
                return Step::Wait;
            };
            self.take_line(end);
            self.is_line_too_long = false;
        }
        let left = MAX_TEXT_BYTES.saturating_sub(self.text_bytes);
        let Some(end) = self.find_end() else {
            // One byte more may be the CR of its end.
            return if self.buffer.len() > left + 1 { self.give_up() } else { Step::Wait };
        };
        let line = without_cr(self.buffer.get(..end).unwrap_or_default());
        let announcement = Announcement::read(line);
        let is_one_more = announcement.is_some() && self.command.literals.len() >= MAX_LITERALS;
        if line.len() > left || is_one_more {
            return self.give_up();
        }
        let mut line = self.take_line(end);
        self.text_bytes += line.len();
        let Some(announcement) = announcement else {
            self.command.texts.push(line);
            return Step::Event(Event::Command(self.begin()));
        };
        line.truncate(announcement.at);
        self.command.texts.push(line);
        let first = self.command.texts.first().map(Bytes::as_ref).unwrap_or_default();
        let event = Event::Literal(Announced {
            bytes: announcement.bytes,
            is_sync: announcement.is_sync,
            tag: tag(first),
            command: second_word(first),
            before: self.literal_bytes,
        });
        self.state = State::Announced(announcement);
        Step::Event(event)
    }

    /// Moves what has come of a literal to where it is collected. It is not left in the buffer until it is complete: that would be the
    /// buffer of an idle session afterwards.
    fn literal(&mut self) -> Step {
        let State::Literal { bytes, left, is_binary } = &mut self.state else { return Step::Again };
        let came = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
        if bytes.capacity() - bytes.len() < came {
            let all = bytes.len().saturating_add(usize::try_from(*left).unwrap_or(usize::MAX));
            let wanted = bytes.capacity().saturating_mul(2).max(FIRST_RESERVE_BYTES).min(all);
            bytes.reserve_exact(wanted.max(bytes.len() + came) - bytes.len());
        }
        bytes.extend_from_slice(self.buffer.get(..came).unwrap_or_default());
        self.buffer.advance(came);
        self.scanned = 0;
        *left -= came as u64;
        if *left > 0 {
            return Step::Wait;
        }
        self.literal_bytes += bytes.len();
        let literal = Literal { bytes: std::mem::take(bytes).into(), is_binary: *is_binary };
        self.command.literals.push(literal);
        self.state = State::Text;
        self.part = Some(0);
        Step::Again
    }

    /// Passes over the command from its current line on; what was kept of it is dropped.
    fn give_up(&mut self) -> Step {
        let first = self.command.texts.first().map_or(self.buffer.as_ref(), Bytes::as_ref);
        let event = Event::TooLong { tag: tag(first) };
        self.begin();
        self.state = State::Skip { left: 0, event: Some(event) };
        Step::Again
    }

    fn skip(&mut self) -> Step {
        let State::Skip { left, .. } = &mut self.state else { return Step::Again };
        if *left > 0 {
            let came = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.advance(came);
            self.scanned = 0;
            *left -= came as u64;
            if *left > 0 {
                return Step::Wait;
            }
            self.part = Some(0);
        }
        let Some(end) = self.find_end() else {
            self.buffer.advance(self.buffer.len().saturating_sub(TAIL_BYTES));
            self.scanned = self.buffer.len();
            return Step::Wait;
        };
        let announcement = Announcement::read(&self.take_line(end)).filter(|announced| !announced.is_sync);
        match (announcement, &mut self.state) {
            (Some(announcement), State::Skip { left, .. }) => {
                *left = announcement.bytes;
                self.part = Some(announcement.bytes);
            }
            (None, State::Skip { event, .. }) => {
                let event = event.take();
                self.state = State::Text;
                self.part = Some(0);
                return event.map_or(Step::Again, Step::Event);
            }
            _ => {}
        }
        Step::Again
    }

    /// Makes ready for a new command; gives out what there was.
    fn begin(&mut self) -> Input {
        self.state = State::Text;
        self.text_bytes = 0;
        self.literal_bytes = 0;
        std::mem::take(&mut self.command)
    }

    /// The position of the next LF; bytes already looked at are not looked at again.
    fn find_end(&mut self) -> Option<usize> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                self.scanned += at;
                Some(self.scanned)
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }

    /// Takes a line out of the buffer whose LF is at `end`.
    fn take_line(&mut self, end: usize) -> Bytes {
        let mut line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        self.scanned = 0;
        line.truncate(without_cr(&line).len());
        line
    }
}

/// The end of a line that announces a literal.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    /// Where in the line it begins.
    at: usize,
    bytes: u64,
    is_sync: bool,
    is_binary: bool,
}

impl Announcement {
    fn read(line: &[u8]) -> Option<Self> {
        let rest = line.strip_suffix(b"}")?;
        let (rest, is_sync) = rest.strip_suffix(b"+").map_or((rest, true), |rest| (rest, false));
        let digits = rest.iter().rev().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let (rest, number) = rest.split_at_checked(rest.len().checked_sub(digits)?)?;
        let number = Some(number).filter(|number| number.len() <= MAX_DIGITS)?;
        let bytes = std::str::from_utf8(number).ok()?.parse().ok()?;
        let rest = rest.strip_suffix(b"{")?;
        let (rest, is_binary) = rest.strip_suffix(b"~").map_or((rest, false), |rest| (rest, true));
        Some(Self { at: rest.len(), bytes, is_sync, is_binary })
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The tag that a command's first line begins with (RFC 9051 §9, `tag`).
pub(super) fn tag(line: &[u8]) -> Option<String> {
    let word = line.split(|&byte| byte == b' ').next()?;
    let is_tag = |&byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte);
    if word.is_empty() || word.len() > MAX_TAG_BYTES || !word.iter().all(is_tag) {
        return None;
    }
    String::from_utf8(word.to_vec()).ok()
}

fn second_word(line: &[u8]) -> String {
    let word = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).nth(1).unwrap_or_default();
    if word.len() > MAX_WORD_BYTES || !word.iter().all(u8::is_ascii_graphic) {
        return String::new();
    }
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

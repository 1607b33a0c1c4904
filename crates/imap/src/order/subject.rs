//! What a subject is about, without what replies and forwards add to it (RFC 5256 §2.1 and §5).

/// A subject without its artifacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// The base subject, in the case it was written in. To compare it, take its [`crate::order::collate::key`].
    pub(crate) text: String,
    /// Whether something was removed that marks a reply or a forward: `Re:` and its like, `(fwd)`, or `[fwd: …]`.
    pub(crate) is_reply_or_forward: bool,
}

/// The base subject of a subject whose encoded words (RFC 2047) are decoded; it may still be folded.
pub(crate) fn base_subject(decoded: &str) -> Base {
    let spaced = spaced(decoded);
    let mut subject = Subject { rest: &spaced, is_reply_or_forward: false };
    loop {
        subject.end_trailers();
        subject.end_leaders();
        if !subject.unwrap_forward() {
            break;
        }
    }
    Base { text: subject.rest.to_owned(), is_reply_or_forward: subject.is_reply_or_forward }
}

/// Step 1: what is white, folding included, is one space.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut was_space = false;
    for char in text.chars() {
        let is_space = matches!(char, ' ' | '\t' | '\r' | '\n');
        if !is_space {
            spaced.push(char);
        } else if !was_space {
            spaced.push(' ');
        }
        was_space = is_space;
    }
    spaced
}

struct Subject<'a> {
    rest: &'a str,
    is_reply_or_forward: bool,
}

impl Subject<'_> {
    /// Step 2: `subj-trailer = "(fwd)" / WSP`.
    fn end_trailers(&mut self) {
        loop {
            self.rest = self.rest.trim_end_matches(' ');
            let at = self.rest.len().checked_sub("(fwd)".len());
            let split = at.and_then(|at| self.rest.split_at_checked(at));
            let Some((rest, _)) = split.filter(|(_, end)| end.eq_ignore_ascii_case("(fwd)")) else { return };
            self.rest = rest;
            self.is_reply_or_forward = true;
        }
    }

    /// Steps 3 to 5: `subj-leader = (*subj-blob subj-refwd) / WSP`, and blobs as long as something is left.
    ///
    /// Step 4 removes one blob at a time, but after none of them is there a leader if there is none after the last. To
    /// remove them together keeps the work from growing with the square of their number.
    fn end_leaders(&mut self) {
        loop {
            let (last, after) = blobs(self.rest.trim_start_matches(' '));
            let Some(rest) = refwd(after) else {
                self.rest = if after.is_empty() { last } else { after };
                return;
            };
            self.rest = rest;
            self.is_reply_or_forward = true;
        }
    }

    /// Step 6: `subj-fwd = subj-fwd-hdr subject subj-fwd-trl`. Says whether there was one.
    fn unwrap_forward(&mut self) -> bool {
        let inside = without(self.rest, "[fwd:").and_then(|rest| rest.strip_suffix(']'));
        self.rest = inside.unwrap_or(self.rest);
        self.is_reply_or_forward |= inside.is_some();
        inside.is_some()
    }
}

/// The text from the last of the blobs it begins with, which is all of it if it begins with none, and what is after it.
fn blobs(text: &str) -> (&str, &str) {
    let (mut last, mut rest) = (text, text);
    while let Some(after) = blob(rest) {
        (last, rest) = (rest, after);
    }
    (last, rest)
}

/// What is after `subj-blob = "[" *BLOBCHAR "]" *WSP`.
fn blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']', '\0'])?;
    Some(inside.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

/// What is after `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`.
fn refwd(text: &str) -> Option<&str> {
    let rest = ["re", "fwd", "fw"].iter().find_map(|word| without(text, word))?;
    let rest = rest.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// A text without the ASCII that it begins with, in whatever case.
fn without<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (found, rest) = text.split_at_checked(start.len())?;
    found.eq_ignore_ascii_case(start).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn is(subject: &str, text: &str, is_reply_or_forward: bool) {
        assert_eq!(base_subject(subject), Base { text: text.to_owned(), is_reply_or_forward }, "{subject:?}");
    }

    #[test]
    fn white_space_is_one_space_and_none_at_the_ends() {
        is("", "", false);
        is(" \t ", "", false);
        is("\ta \t b\r\n\tc  ", "a b c", false);
        // No-break spaces are no WSP.
        is("\u{a0}a\u{a0}\u{a0}b", "\u{a0}a\u{a0}\u{a0}b", false);
    }

    #[test]
    fn replies_and_forwards_lose_what_they_begin_with() {
        for subject in ["Re: a", "RE:a", "re :a", "Fw: a", "FWD: a", "fwd  : a", "Re: Fw:re:  a", "Re[2]: a"]
        {
            is(subject, "a", true);
        }
        is("re [x] [y]: a", "re [x] [y]: a", false);
        is("Re [x] : a", "a", true);
        is("[list] Re: [x] [y]Fwd: a", "a", true);
        is("Re: [list] a", "a", true);
        is("Re:", "", true);
        is("[x] Re:", "", true);
        // Not in other languages, and not what only looks alike.
        is("AW: a", "AW: a", false);
        is("Red: a", "Red: a", false);
        is("Re a", "Re a", false);
        is("Fwdd: a", "Fwdd: a", false);
        is("a Re: b", "a Re: b", false);
        is("ſ re: a", "ſ re: a", false);
    }

    #[test]
    fn blobs_go_only_if_something_is_left() {
        is("[x] a", "a", false);
        is("[x][y] [z]a", "a", false);
        is("[x]", "[x]", false);
        is("[x] [y]", "[y]", false);
        is("[x] [y] (fwd)", "[y]", true);
        is("Re: [x]", "[x]", true);
        is("[]a", "a", false);
        is("[x[y] a", "[x[y] a", false);
        is("[[x]] a", "[[x]] a", false);
        is("[x a", "[x a", false);
        is("x] a", "x] a", false);
        is("a [x]", "a [x]", false);
        is("[x\0] a", "[x\0] a", false);
        is("[ü] ä", "ä", false);
    }

    #[test]
    fn trailers_go_as_often_as_they_are_there() {
        is("a (fwd)", "a", true);
        is("a(FWD) (Fwd)  ", "a", true);
        is("(fwd)", "", true);
        is("a (fwd) b", "a (fwd) b", false);
        is("a (fw)", "a (fw)", false);
        is("ä(fwd)", "ä", true);
        is("äöü", "äöü", false);
    }

    #[test]
    fn forwards_in_brackets_are_unwrapped() {
        is("[fwd: a]", "a", true);
        is("[FWD:a]", "a", true);
        is("[fwd:]", "", true);
        is("[fwd: Re: a (fwd)] (fwd)", "a", true);
        is("[Fwd: [fwd:re: [x] a ] ]", "a", true);
        is("Re: [x] [fwd: [y] a]", "a", true);
        is("[x] [fwd: a]", "a", true);
        // Here it is a blob with something left, by step 4.
        is("[fwd: a] b", "b", false);
        is("[fwd: a] [b]", "[b]", false);
        is("[fwd: a", "[fwd: a", false);
        is("[fwd a]", "[fwd a]", false);
        // It begins as one and ends as one.
        is("[fwd: [x] a [y]", "a [y", true);
    }

    #[test]
    fn much_is_read_in_linear_time() {
        let start = Instant::now();
        let many = 100_000;
        is(&format!("{}a", "[x]".repeat(many)), "a", false);
        is(&"[x]".repeat(many), "[x]", false);
        is(&format!("{}a", "[x]Re: ".repeat(many)), "a", true);
        is(&format!("a{}", " (fwd)".repeat(many)), "a", true);
        is(&format!("{}a{}", "[fwd:".repeat(many), "]".repeat(many)), "a", true);
        is(&format!("{}a{}", "[fwd:[x]re:".repeat(many), " (fwd)]".repeat(many)), "a", true);
        let open = "[".repeat(many);
        is(&open, &open, false);
        let open = "re [".repeat(many);
        is(&open, &open, false);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    /// The steps as RFC 5256 §2.1 has them, one match at a time.
    fn literally(subject: &str) -> (String, bool) {
        let mut text = spaced(subject);
        let mut is_reply_or_forward = false;
        loop {
            loop {
                if text.to_ascii_lowercase().ends_with("(fwd)") {
                    text.truncate(text.len() - 5);
                    is_reply_or_forward = true;
                } else if text.ends_with(' ') {
                    text.pop();
                } else {
                    break;
                }
            }
            loop {
                let leader = |mut rest: &str| {
                    while let Some(after) = blob(rest) {
                        rest = after;
                    }
                    refwd(rest).map(str::to_owned)
                };
                if let Some(rest) = text.strip_prefix(' ') {
                    text = rest.to_owned();
                } else if let Some(rest) = leader(&text) {
                    text = rest;
                    is_reply_or_forward = true;
                } else if let Some(rest) = blob(&text).filter(|rest| !rest.is_empty()) {
                    text = rest.to_owned();
                } else {
                    break;
                }
            }
            if text.to_ascii_lowercase().starts_with("[fwd:") && text.ends_with(']') {
                text = text[5..text.len() - 1].to_owned();
                is_reply_or_forward = true;
            } else {
                return (text, is_reply_or_forward);
            }
        }
    }

    proptest! {
        #[test]
        fn the_base_is_that_of_the_rfc_step_by_step(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "re", "Fw", "d", ":", " ", "[", "]", "[x]", "(fwd)", "[fwd:", "a", "ü", "\t", "(", "Re: ", "\0",
                ]),
                0..16,
            )
        ) {
            let subject = parts.concat();
            let base = base_subject(&subject);
            prop_assert_eq!((base.text, base.is_reply_or_forward), literally(&subject));
        }

        #[test]
        fn a_base_is_its_own_base(subject in "\\PC{0,40}") {
            let base = base_subject(&subject).text;
            prop_assert_eq!(&base_subject(&base).text, &base);
        }
    }
}

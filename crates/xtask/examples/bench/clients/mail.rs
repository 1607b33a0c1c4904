//! The mail that clients are measured with: a folder as people have them, the same on both sides.

/// How many messages the folder has.
pub(crate) const MESSAGES: usize = 5_000;
/// A word that is in the subject of every fiftieth message, and nowhere else.
pub(crate) const SUBJECT_WORD: &str = "reconciliation";
/// A word that is in the text of every fiftieth message, and nowhere else.
pub(crate) const TEXT_WORD: &str = "zygomorphic";
/// What is in the text of every fiftieth message, and nowhere else: too short for an index of three characters in a row.
pub(crate) const SHORT_WORD: &str = "zq";
/// How many messages have each of them.
pub(crate) const FOUND: usize = MESSAGES / 50;

const WORDS: [&str; 40] = [
    "account", "agenda", "budget", "calendar", "contract", "customer", "deadline", "delivery", "design",
    "document", "estimate", "feature", "figures", "holiday", "invoice", "lunch", "machine", "meeting",
    "member", "monday", "notes", "office", "order", "paper", "partner", "plan", "price", "project",
    "proposal", "question", "report", "request", "review", "sample", "schedule", "server", "support",
    "thanks", "travel", "weekend",
];

/// A message: half of them of plain text, half with HTML beside it, from 2 to 20 KiB.
pub(crate) fn message(number: usize) -> Vec<u8> {
    let word = |at: usize| WORDS[(number * 31 + at * 17 + at * at % 13) % WORDS.len()];
    let mark = |word, at| if number % 50 == at { word } else { "plain" };
    let (subject, text, short) = (mark(SUBJECT_WORD, 7), mark(TEXT_WORD, 11), mark(SHORT_WORD, 13));
    let mut body = format!("Hello,\r\n\r\nthis is {text} and {short}.\r\n");
    for line in 0..(20 + number * 7 % 120) {
        let words: Vec<&str> = (0..9).map(|at| word(line * 9 + at)).collect();
        body.push_str(&format!("{} {line}\r\n", words.join(" ")));
    }
    let head = format!(
        "Return-Path: <list-{number}@lists.example.org>\r\n\
         Received: from mx{}.example.org (mx.example.org [192.0.2.{}])\r\n\tby mx.bench.example with ESMTPS id {number:08x};\r\n\tMon, 02 Nov 2026 09:{:02}:{:02} +0000\r\n\
         Date: Mon, 02 Nov 2026 09:{:02}:{:02} +0000\r\n\
         From: \"{} {}\" <{}.{number}@example.org>\r\n\
         To: \"Bench Mark\" <bench@bench.example>, colleagues@bench.example\r\n\
         Cc: {}@example.net\r\n\
         Reply-To: {}@example.org\r\n\
         Message-ID: <{number}.{}@example.org>\r\n\
         In-Reply-To: <{}.before@example.org>\r\n\
         Subject: {subject} {} {} {number}\r\n\
         X-Mailer: Bench 1.0\r\n\
         MIME-Version: 1.0\r\n",
        number % 9,
        number % 250,
        number / 60 % 60,
        number % 60,
        number / 60 % 60,
        number % 60,
        word(1),
        word(2),
        word(3),
        word(4),
        word(5),
        word(6),
        number.saturating_sub(1),
        word(7),
        word(8),
    );
    let whole = match number % 2 {
        0 => format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"),
        _ => {
            let html = body.replace("\r\n", "<br>\r\n");
            format!(
                "{head}Content-Type: multipart/alternative; boundary=\"=-{number}\"\r\n\r\n--=-{number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n\
                 --=-{number}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<html><body>{html}</body></html>\r\n--=-{number}--\r\n"
            )
        }
    };
    whole.into_bytes()
}

//! One transaction (RFC 5321 §3.3): MAIL, RCPT, DATA, the message.

use tokio::io::AsyncWriteExt as _;

use crate::deadlines::Timer;
use crate::envelope::Envelope;
use crate::fault::{Phase, RouteFault, garbled};
use crate::reply::{Class, Outcome, Reply};
use crate::session::Session;

/// How many commands are sent before their replies are read, where the smarthost takes several: so few that replies
/// never fill what lies between us while we still write (RFC 2920 §3.1).
const GROUP: usize = 50;
/// How much of the message is written at a time, in octets before dots are doubled.
const BLOCK: usize = 32 * 1_024;

/// What decides on recipients.
enum Verdict {
    /// Of MAIL, and so on all.
    OnAll(Reply),
    /// Of DATA or the final dot, on those whose RCPT was taken.
    OnTaken(Reply),
    /// Each RCPT's own: none was taken.
    Apart,
}

/// Sends a message. The session is spent or reset afterwards.
///
/// # Errors
/// [`RouteFault`]: nothing was accepted, and the session must not be used again.
pub(crate) async fn run(
    session: &mut Session,
    envelope: &Envelope<'_>,
    message: &[u8],
    timer: &Timer,
) -> Result<Vec<Outcome>, RouteFault> {
    if let Some(reply) = envelope.misfit(&session.features, message.len()) {
        return Ok(envelope.recipients.iter().map(|_| Outcome::Refused(reply.clone())).collect());
    }
    let takes_dsn = session.features.has(smtp_proto::EXT_DSN);
    let mut answers = Vec::with_capacity(envelope.recipients.len());
    let verdict = match converse(session, envelope, message, timer, &mut answers).await {
        Ok(verdict) => verdict,
        // What is refused for good stays so. A host that hangs up after so many bad recipients would hang up again and
        // again otherwise, and they would never be told apart from the rest.
        Err(fault) if answers.iter().any(|answer| answer.class() == Class::Never) => {
            session.is_spent = true;
            let lost = match fault {
                RouteFault::Refused { reply, .. } => reply,
                _ => Reply::ours(451, (4, 4, 2), "the connection broke before the message was sent"),
            };
            answers.resize(envelope.recipients.len(), lost.clone());
            Verdict::OnTaken(lost)
        }
        Err(fault) => return Err(fault),
    };
    if let Verdict::OnAll(reply) = verdict {
        return Ok(envelope.recipients.iter().map(|_| Outcome::of(reply.clone(), takes_dsn)).collect());
    }
    let outcome = |answer: Reply| match &verdict {
        Verdict::OnTaken(reply) if answer.class() == Class::Positive => Outcome::of(reply.clone(), takes_dsn),
        // Others were taken, so there are fewer the next time.
        Verdict::OnTaken(_) if answer.may_mean_too_many() => Outcome::Later(answer),
        _ => Outcome::of(answer, takes_dsn),
    };
    Ok(answers.into_iter().map(outcome).collect())
}

/// All of it; `answers` gets the replies to RCPT as they come.
async fn converse(
    session: &mut Session,
    envelope: &Envelope<'_>,
    message: &[u8],
    timer: &Timer,
    answers: &mut Vec<Reply>,
) -> Result<Verdict, RouteFault> {
    if let Some(refusal) = address(session, envelope, message.len(), timer, answers).await? {
        reset(session, timer).await;
        return Ok(Verdict::OnAll(refusal));
    }
    if !answers.iter().any(|answer| answer.class() == Class::Positive) {
        reset(session, timer).await;
        return Ok(Verdict::Apart);
    }
    let limit = timer.deadlines.data;
    session.send(b"DATA\r\n", Phase::Data, limit, timer).await?;
    let reply = session.reply(Phase::Data, limit, timer).await?;
    match reply.class() {
        Class::Intermediate => Ok(Verdict::OnTaken(content(session, message, timer).await?)),
        Class::Later | Class::Never => {
            reset(session, timer).await;
            Ok(Verdict::OnTaken(reply))
        }
        Class::Positive => Err(RouteFault::Broken { phase: Phase::Data, source: garbled() }),
    }
}

/// RSET on a session that is not new, MAIL, and every RCPT. Answers MAIL's reply if that is a refusal.
async fn address(
    session: &mut Session,
    envelope: &Envelope<'_>,
    size: usize,
    timer: &Timer,
    answers: &mut Vec<Reply>,
) -> Result<Option<Reply>, RouteFault> {
    let features = session.features;
    let rset = (session.transactions > 0).then(|| (Phase::Rset, "RSET\r\n".to_owned()));
    let mail = (Phase::Mail, envelope.mail(&features, size));
    let rcpts = envelope.recipients.iter().map(|recipient| (Phase::Rcpt, recipient.rcpt(&features)));
    let commands = rset.into_iter().chain([mail]).chain(rcpts).collect::<Vec<_>>();
    session.transactions += 1;
    session.mail_is_answered = false;

    let limit = timer.deadlines.command;
    let width = if features.has(smtp_proto::EXT_PIPELINING) { GROUP } else { 1 };
    for group in commands.chunks(width) {
        let lines = group.iter().map(|(_, line)| line.as_str()).collect::<String>();
        let first = group.first().map_or(Phase::Mail, |(phase, _)| *phase);
        session.send(lines.as_bytes(), first, limit, timer).await?;
        let mut refusal = None;
        for (phase, _) in group {
            let reply = match session.reply(*phase, limit, timer).await {
                Ok(reply) => reply,
                // MAIL's refusal stands, whatever becomes of the recipients sent behind it.
                Err(_) if refusal.is_some() => {
                    session.is_spent = true;
                    return Ok(refusal);
                }
                Err(fault) => return Err(fault),
            };
            match (phase, reply.class()) {
                (_, Class::Intermediate) => {
                    return Err(RouteFault::Broken { phase: *phase, source: garbled() });
                }
                (Phase::Rcpt, _) if refusal.is_none() => answers.push(reply),
                (Phase::Mail, class) => {
                    session.mail_is_answered = true;
                    if reply.code == 530 {
                        return Err(RouteFault::Refused { phase: *phase, reply });
                    }
                    refusal = (class != Class::Positive).then_some(reply);
                }
                (Phase::Rset, Class::Later | Class::Never) => {
                    return Err(RouteFault::Refused { phase: *phase, reply });
                }
                _ => {}
            }
        }
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

/// Ends a transaction that came to nothing. What it came to stands, whether this goes well or not.
async fn reset(session: &mut Session, timer: &Timer) {
    if session.is_spent {
        return;
    }
    // The recipients' outcomes wait for this, so not for long.
    let limit = timer.deadlines.connect.min(timer.deadlines.command);
    let is_sent = session.send(b"RSET\r\n", Phase::Rset, limit, timer).await.is_ok();
    let reply = if is_sent { session.reply(Phase::Rset, limit, timer).await.ok() } else { None };
    session.is_spent = reply.is_none_or(|reply| reply.class() != Class::Positive);
}

/// The message and its final dot; answers the reply, or one of ours when none came after the dot.
///
/// # Errors
/// [`RouteFault`] before the dot: the smarthost has no whole message.
async fn content(session: &mut Session, message: &[u8], timer: &Timer) -> Result<Reply, RouteFault> {
    let mut stuffing = Stuffing::default();
    let mut octets = Vec::with_capacity(BLOCK + BLOCK / 16);
    for block in message.chunks(BLOCK) {
        octets.clear();
        stuffing.stuff(block, &mut octets);
        if let Err(fault) = session.send(&octets, Phase::Message, timer.deadlines.block, timer).await {
            return early(session, fault, timer).await;
        }
    }
    if !session.wire.is_quiet() {
        let source = std::io::ErrorKind::ConnectionAborted.into();
        return early(session, RouteFault::Broken { phase: Phase::Message, source }, timer).await;
    }
    // From here the smarthost may have the message, whatever we hear of it (RFC 1047).
    let ending = async {
        session.wire.write_all(stuffing.end()).await?;
        session.wire.flush().await?;
        session.wire.reply(&session.remote).await
    };
    match timer.within(Phase::Message, timer.deadlines.dot, ending).await {
        Ok(reply) if reply.class() != Class::Intermediate => {
            session.is_spent |= reply.code == 421;
            Ok(reply)
        }
        _ => {
            session.is_spent = true;
            Ok(Reply::ours(451, (4, 4, 2), "the connection broke after the message was sent"))
        }
    }
}

/// What a smarthost says that does not wait for the message's end: its refusal is one of this message. Otherwise the fault.
async fn early(session: &mut Session, fault: RouteFault, timer: &Timer) -> Result<Reply, RouteFault> {
    session.is_spent = true;
    if !matches!(fault, RouteFault::Broken { .. }) {
        return Err(fault);
    }
    match session.reply(Phase::Message, timer.deadlines.data, timer).await {
        Ok(reply) if matches!(reply.class(), Class::Later | Class::Never) => Ok(reply),
        Err(refused @ RouteFault::Refused { .. }) => Err(refused),
        _ => Err(fault),
    }
}

/// Doubles the dots that lines begin with (RFC 5321 §4.5.2), block by block.
#[derive(Debug)]
pub(crate) struct Stuffing {
    /// The last two octets; at first those of a line before.
    last: [u8; 2],
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { last: *b"\r\n" }
    }
}

impl Stuffing {
    /// Appends the next block. A dot behind a bare CR or LF, which have no place in a message of ours, is doubled too: no
    /// host on the way can take it for the end.
    pub(crate) fn stuff(&mut self, block: &[u8], out: &mut Vec<u8>) {
        for &octet in block {
            let [_, before] = self.last;
            if octet == b'.' && matches!(before, b'\r' | b'\n') {
                out.push(b'.');
            }
            out.push(octet);
            self.last = [before, octet];
        }
    }

    /// What ends the message, which the dot's own CRLF before it is part of (RFC 5321 §4.1.1.4): behind a bare LF, a smarthost would wait
    /// for it for ever.
    pub(crate) fn end(&self) -> &'static [u8] {
        if self.last == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(blocks: &[&[u8]]) -> String {
        let (mut stuffing, mut out) = (Stuffing::default(), Vec::new());
        for block in blocks {
            stuffing.stuff(block, &mut out);
        }
        out.extend_from_slice(stuffing.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dots_are_doubled_at_the_start_of_lines_only() {
        assert_eq!(sent(&[]), ".\r\n");
        assert_eq!(sent(&[b".\r\n"]), "..\r\n.\r\n");
        assert_eq!(sent(&[b"a.b\r\n", b"..\r\n", b"\r\n"]), "a.b\r\n...\r\n\r\n.\r\n");
        assert_eq!(sent(&[b"a\r", b"\n", b".b\r\n"]), "a\r\n..b\r\n.\r\n");
        // Without its last line end it gets one; bare CR and LF smuggle nothing.
        assert_eq!(sent(&[b"a"]), "a\r\n.\r\n");
        assert_eq!(sent(&[b"a\n"]), "a\n\r\n.\r\n");
        assert_eq!(sent(&[b"a\n.\r\nb\r.\r\n"]), "a\n..\r\nb\r..\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn blocks_make_no_difference(message in "(\\.|a|\r|\n|\r\n){0,40}", at in 0..40_usize) {
            let (one, two) = message.as_bytes().split_at(at.min(message.len()));
            prop_assert_eq!(sent(&[one, two]), sent(&[message.as_bytes()]));
        }
    }
}

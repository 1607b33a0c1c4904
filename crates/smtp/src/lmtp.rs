//! The commands: one file for each that has substance.

mod data;
mod mail;
mod rcpt;

use std::io;
use std::net::IpAddr;

use crate::codec::command::{Command, ParseError};
use crate::reply::Reply;
use crate::serve::Server;
use crate::session::Session;
use crate::wire::Wire;

pub(crate) use data::begin_counts;

/// How a session goes on after a command.
pub(crate) enum Flow {
    /// With this reply.
    Reply(Reply),
    /// The command has replied itself.
    Replied,
    /// Not at all, after this reply.
    Quit(Reply),
}

/// Carries out one command.
pub(crate) async fn execute(
    server: &Server,
    session: &mut Session,
    wire: &mut Wire,
    peer: IpAddr,
    command: Command,
) -> io::Result<Flow> {
    let service = &*server.service;
    let reply = match command {
        Command::Lhlo(name) => {
            session.greet(name);
            Reply::hello(&service.hostname, service.limits.message_bytes)
        }
        Command::Mail(mail) => mail::mail(service, session, mail),
        Command::Rcpt(rcpt) => rcpt::rcpt(service, session, rcpt.to).await,
        Command::Data => return data::data(server, session, wire, peer).await,
        Command::Rset => {
            session.reset();
            Reply::ok()
        }
        Command::Noop => Reply::ok(),
        // RFC 5321 §3.5.3: telling addresses to whoever asks serves harvesters only.
        Command::Vrfy => Reply::cannot_verify(),
        Command::Help => Reply::help(),
        // No line of LMTP is one of these.
        Command::Ehlo | Command::Helo | Command::Starttls | Command::Auth(_) => {
            Reply::from(ParseError::NotOffered)
        }
        Command::Quit => return Ok(Flow::Quit(Reply::bye())),
    };
    Ok(Flow::Reply(reply))
}

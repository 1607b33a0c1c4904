//! `pillarbox hash-passwords`: a process of the server's that hashes passwords, one after the other, with little
//! claim to the cores. It reads no configuration and opens nothing, and ends when the server does.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit};

/// Its name on the command line.
const NAME: &str = "hash-passwords";
/// Its name in `ps`, which would be that of the link it is started by; at most 15 bytes.
const SHORT_NAME: &str = "pillarbox-hash";
/// What the running program can be started by though an upgrade has replaced its file. Where there is no such link there
/// are no sessions that share cores either, and the server hashes passwords itself.
const RUNNING: &str = "/proc/self/exe";
/// How far it stands back for whoever else wants a core, as a process and as a session. The kernel gives it 36 parts of a
/// core to 1,024 of each of theirs: at 19 (15 parts) nobody could sign in where all cores stay busy, at 10 (110 parts)
/// requests would wait for sign-ins.
const NICE: i32 = 15;
/// In bytes. A dump to a file needs more; for one that is piped to a program, to which a limit of 0 is none, 1 is the
/// limit that prevents it (`do_coredump` in Linux).
const CORE_DUMP: Rlimit = Rlimit { current: Some(1), maximum: Some(1) };

/// How the server starts one.
pub(crate) fn command() -> Command {
    let mut command = Command::new(RUNNING);
    command.arg0("pillarbox").arg(NAME).env_clear();
    command
}

/// Answers the server until its end of the pipe is closed, which its death does too.
pub(crate) fn run() -> ExitCode {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    // Of what follows anything may fail: passwords are hashed all the same, and others only wait longer for a core.
    let _ = std::fs::write("/proc/self/comm", SHORT_NAME);
    // Counts where cores are not shared out by session, as where systemd shares them out by unit.
    let _ = rustix::process::nice(NICE);
    // The kernel shares cores with a session as a whole. Without one of its own it would be the server's that gives way.
    let mut has_given_way = rustix::process::setsid().is_err();
    // Passwords are to be in no file that a crash leaves.
    let _ = rustix::process::setrlimit(Resource::Core, CORE_DUMP);
    loop {
        has_given_way = has_given_way || give_way();
        match tenancy::password::answer_next(&mut input, &mut output) {
            Ok(true) => {}
            Ok(false) => return ExitCode::SUCCESS,
            // The server is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pillarbox: hashing passwords: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Has the session give way to all others; `false` when that is to be tried again. Linux lets only one process do so in a
/// tenth of a second, and root (`EAGAIN`). Where there is no such file or leave, there never will be.
fn give_way() -> bool {
    let written = std::fs::write("/proc/self/autogroup", NICE.to_string());
    !written.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Subcommand};
    use clap::Parser as _;

    #[test]
    fn the_server_starts_the_command_that_hashes() {
        let command = command();
        let arguments = command.get_args().map(|argument| argument.to_str().unwrap());
        let cli = Cli::try_parse_from(std::iter::once("pillarbox").chain(arguments)).unwrap();
        assert!(matches!(cli.command, Subcommand::HashPasswords), "{cli:?}");
        assert!(std::path::Path::new(command.get_program()).exists());
        assert!(SHORT_NAME.len() <= 15);
    }
}

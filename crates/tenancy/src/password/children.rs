//! Child processes that hash passwords. A process can be of a session of its own, and so have a share of the cores of
//! its own; a thread cannot. See docs/decisions/sign-in.md.

use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::codec::{Answer, MAX_LINE_BYTES, Request};
use super::{Turn, answer_here};
use crate::Error;

/// How long a child may take for an answer: tens of milliseconds where it has a core, some seconds where others want all of them.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// As many as have ever hashed at once, which is no more than there are turns.
pub(super) struct Children {
    command: fn() -> Command,
    longest_answer: Duration,
    /// The last one used is last, and used next.
    idle: Mutex<Vec<Hasher>>,
    /// Whether it was said that none can be started.
    told: Once,
}

impl Children {
    pub(super) fn new(command: fn() -> Command) -> Self {
        Self { command, longest_answer: LONGEST_ANSWER, idle: Mutex::new(Vec::new()), told: Once::new() }
    }

    /// Has a child do it; when that fails, as it may have been killed meanwhile, a new one, once. Where none can be started,
    /// this process does it. Whoever gives this up has the child killed: its answer would be taken for the next request's.
    pub(super) async fn ask(&self, _: &Turn, request: Request) -> Result<Answer, Error> {
        let line = request.to_line()?;
        let idle = self.idle().pop();
        let first = match idle {
            Some(hasher) => Some(hasher),
            None => self.start().await,
        };
        let Some(first) = first else { return answer_here(request).await };
        let cause = match self.ask_one(first, line.expose_secret()).await {
            Ok(answer) => return Ok(answer),
            Err(cause) => cause,
        };
        tracing::warn!(error.cause = %cause, "a process that hashes passwords failed; another takes its place");
        let Some(second) = self.start().await else { return answer_here(request).await };
        self.ask_one(second, line.expose_secret()).await.map_err(Error::internal)
    }

    /// Whatever ends this early drops the child, which kills it.
    async fn ask_one(&self, mut hasher: Hasher, line: &[u8]) -> io::Result<Answer> {
        let answer = tokio::time::timeout(self.longest_answer, hasher.ask(line)).await??;
        // Whatever else it has said would be taken for the next answer.
        if hasher.output.buffer().is_empty() {
            self.idle().push(hasher);
        }
        Ok(answer)
    }

    /// `None` when the system has no such program, or no process, memory or file to spare.
    async fn start(&self) -> Option<Hasher> {
        let command = self.command;
        let started = tokio::task::spawn_blocking(move || Hasher::start(command())).await;
        match started.map_err(io::Error::from).flatten() {
            Ok(hasher) => Some(hasher),
            Err(cause) => {
                self.told.call_once(|| {
                    tracing::warn!(error.cause = %cause, "no process to hash passwords can be started; the server hashes them itself");
                });
                None
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Hasher>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, with nothing asked that it has not answered.
struct Hasher {
    #[expect(dead_code, reason = "it is killed when it is dropped")]
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Hasher {
    fn start(command: Command) -> io::Result<Self> {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("a process was started without pipes"));
        };
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    async fn ask(&mut self, line: &[u8]) -> io::Result<Answer> {
        self.input.write_all(line).await?;
        let mut answer = Vec::new();
        (&mut self.output).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut answer).await?;
        if !answer.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Answer::from_line(&answer).ok_or_else(|| io::Error::other("what it wrote is no answer"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::password::{to_the_end, turn};

    /// Answers its process's id to each request, to some in a way of its own.
    const SCRIPT: &str = r#"while read -r line; do
        case "$line" in
            *die*) exit 1;;
            *hang*) exec sleep 60;;
            *slow*) sleep 1;;
            *chat*) echo hello;;
            *twice*) printf '{"hash":"%s"}\n{"hash":"%s"}\n' $$ $$; continue;;
        esac
        echo "{\"hash\":\"$$\"}"
    done"#;

    fn script() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]);
        command
    }

    /// The id of the process that answers.
    async fn asked(children: &Children, turn: &Turn, what: &str) -> Result<String, Error> {
        let request = Request::Verify { password: what.into(), hash: "x".into() };
        match children.ask(turn, request).await? {
            Answer::Hash(pid) => Ok(pid),
            other => panic!("{other:?}"),
        }
    }

    async fn assert_ends(pid: &str) {
        let stat = format!("/proc/{pid}/stat");
        for _ in 0..500 {
            // What has ended and was not waited for yet is a zombie.
            let goes_on = std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
            if !goes_on {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {pid} goes on");
    }

    #[tokio::test]
    async fn a_child_is_kept_for_the_next_request_and_another_takes_the_place_of_one_that_died() {
        let (children, turn) = (Children::new(script), turn().await.unwrap());
        let first = asked(&children, &turn, "one").await.unwrap();
        assert_eq!(asked(&children, &turn, "two").await.unwrap(), first);
        let kill = format!("kill -KILL {first}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let second = asked(&children, &turn, "three").await.unwrap();
        assert_ne!(second, first);
        assert_eq!(asked(&children, &turn, "four").await.unwrap(), second);
    }

    #[tokio::test]
    async fn what_two_children_fail_at_is_an_error_and_neither_is_used_again() {
        let (children, turn) = (Children::new(script), turn().await.unwrap());
        for what in ["die", "chat"] {
            let before = asked(&children, &turn, "one").await.unwrap();
            let failed = asked(&children, &turn, what).await;
            assert!(matches!(failed, Err(Error::Internal(_))), "{what}: {failed:?}");
            assert!(children.idle().is_empty(), "{what}");
            assert_ends(&before).await;
        }
    }

    #[tokio::test]
    async fn where_no_child_can_be_started_this_process_hashes() {
        let children = Children::new(|| Command::new("/nonexistent/program"));
        let turn = turn().await.unwrap();
        for _ in 0..2 {
            let request = Request::Hash { password: "one".into(), salt: [7; 16] };
            let answer = children.ask(&turn, request).await.unwrap();
            assert!(matches!(&answer, Answer::Hash(hash) if hash.starts_with("$argon2id$")), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_child_that_does_not_answer_in_time_is_killed() {
        let children = Children { longest_answer: Duration::from_secs(2), ..Children::new(script) };
        let turn = turn().await.unwrap();
        let first = asked(&children, &turn, "one").await.unwrap();
        let failed = asked(&children, &turn, "hang").await;
        assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
        assert_ends(&first).await;
        assert_ne!(asked(&children, &turn, "two").await.unwrap(), first);
    }

    #[tokio::test]
    async fn a_child_that_says_more_than_its_answer_is_not_used_again() {
        let (children, turn) = (Children::new(script), turn().await.unwrap());
        let first = asked(&children, &turn, "twice").await.unwrap();
        assert_ends(&first).await;
        assert_ne!(asked(&children, &turn, "two").await.unwrap(), first);
    }

    #[tokio::test]
    async fn what_is_given_up_goes_to_its_end_and_its_child_is_used_again() {
        let children = Arc::new(Children::new(script));
        let taken = turn().await.unwrap();
        let first = asked(&children, &taken, "one").await.unwrap();
        let whose = Arc::clone(&children);
        let work = to_the_end(async move { asked(&whose, &taken, "slow").await });
        let given_up = tokio::time::timeout(Duration::from_millis(50), work).await;
        assert!(given_up.is_err(), "{given_up:?}");
        assert!(children.idle().is_empty(), "it is not done yet");
        for _ in 0..500 {
            if !children.idle().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(asked(&children, &turn().await.unwrap(), "two").await.unwrap(), first);
    }
}

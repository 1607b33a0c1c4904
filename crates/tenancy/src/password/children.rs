//! Child processes that hash passwords. A process can be of a session of its own, and so have a share of the cores of
//! its own; a thread cannot. See docs/decisions/sign-in.md.

use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::Turn;
use super::codec::{Answer, MAX_LINE_BYTES, Request};
use crate::Error;

/// As many as have ever hashed at once, which is no more than there are turns.
pub(super) struct Children {
    command: fn() -> io::Result<Command>,
    /// The last one used is last, and used next.
    idle: Mutex<Vec<Hasher>>,
}

impl Children {
    pub(super) fn new(command: fn() -> io::Result<Command>) -> Self {
        Self { command, idle: Mutex::new(Vec::new()) }
    }

    /// Has a child do it; when that fails, as it may have been killed meanwhile, a new one, once.
    pub(super) async fn ask(&self, _: &Turn, request: &Request) -> Result<Answer, Error> {
        let line = request.to_line()?;
        let idle = self.idle().pop();
        let first = match idle {
            Some(hasher) => hasher,
            None => self.start().map_err(Error::internal)?,
        };
        match self.ask_one(first, line.expose_secret()).await {
            Ok(answer) => Ok(answer),
            Err(cause) => {
                tracing::warn!(error.cause = %cause, "a process that hashes passwords failed; another takes its place");
                let second = self.start().map_err(Error::internal)?;
                self.ask_one(second, line.expose_secret()).await.map_err(Error::internal)
            }
        }
    }

    /// Whatever ends this early drops the child, which kills it: its answer would be taken for the next request's.
    async fn ask_one(&self, mut hasher: Hasher, line: &[u8]) -> io::Result<Answer> {
        let answer = hasher.ask(line).await?;
        self.idle().push(hasher);
        Ok(answer)
    }

    fn start(&self) -> io::Result<Hasher> {
        let mut command = tokio::process::Command::from((self.command)()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("a process was started without pipes"));
        };
        Ok(Hasher { process, input, output: BufReader::new(output) })
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
    async fn ask(&mut self, line: &[u8]) -> io::Result<Answer> {
        self.input.write_all(line).await?;
        let mut answer = Vec::new();
        (&mut self.output).take(MAX_LINE_BYTES).read_until(b'\n', &mut answer).await?;
        if !answer.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Answer::from_line(&answer).ok_or_else(|| io::Error::other("what it wrote is no answer"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::password::turn;

    /// Answers its process's id to each request, but ends at `die` and does not answer `wait`.
    const SCRIPT: &str = r#"while read -r line; do
        case "$line" in *die*) exit 1;; *wait*) exec sleep 60;; *chat*) echo hello;; esac
        echo "{\"hash\":\"$$\"}"
    done"#;

    fn script() -> io::Result<Command> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]);
        Ok(command)
    }

    /// The id of the process that answers.
    async fn asked(children: &Children, turn: &Turn, what: &str) -> Result<String, Error> {
        let request = Request::Verify { password: what.into(), hash: "x".into() };
        match children.ask(turn, &request).await? {
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
        let missing = Children::new(|| Ok(Command::new("/nonexistent/program")));
        assert!(matches!(asked(&missing, &turn, "one").await, Err(Error::Internal(_))));
    }

    #[tokio::test]
    async fn a_child_whose_request_was_given_up_is_killed_and_answers_nobody_else() {
        let (children, turn) = (Children::new(script), turn().await.unwrap());
        let first = asked(&children, &turn, "one").await.unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(50), asked(&children, &turn, "wait")).await;
        assert!(given_up.is_err(), "{given_up:?}");
        assert_ends(&first).await;
        assert_ne!(asked(&children, &turn, "two").await.unwrap(), first);
    }
}

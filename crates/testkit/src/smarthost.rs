//! A smarthost on loopback that does what it is told, keeps what it got, and takes nothing that it did not offer: no parameter,
//! no command before the reply to the last one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::fake::{Fake, lock};

/// How it encrypts.
#[derive(Debug, Clone)]
pub enum Tls {
    /// From the first octet.
    Implicit(Arc<ServerConfig>),
    /// After STARTTLS.
    Upgrade(Arc<ServerConfig>),
    /// Not at all.
    Never,
}

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before the greeting.
    Connect,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// After the first octets of a message.
    Body,
    /// The final dot: the message is kept.
    Dot,
    /// RSET.
    Rset,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends.
    Cut(Step),
    /// Nothing more is said, and the connection stays open.
    Silent(Step),
    /// This is the answer, lines split by `\n`. Behind 421 the connection ends; a message so refused is not kept.
    Answer(Step, &'static str),
}

impl Fault {
    fn step(&self) -> Step {
        match self {
            Self::Cut(step) | Self::Silent(step) | Self::Answer(step, _) => *step,
        }
    }
}

/// A path and its parameters, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// Without `<>`.
    pub address: String,
    /// Such as `SIZE=12`.
    pub parameters: Vec<String>,
}

/// A message that it got whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Whom it is from.
    pub sender: Path,
    /// Whom it is for: those that were not refused.
    pub recipients: Vec<Path>,
    /// The message, without the dots that were doubled.
    pub octets: Vec<u8>,
    /// Whether it came encrypted.
    pub is_tls: bool,
    /// Who had signed in.
    pub user: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    extensions: Vec<String>,
    /// User and password; without them anybody may send.
    credentials: Option<(String, String)>,
    replies: HashMap<String, String>,
    faults: VecDeque<(Fault, usize)>,
    received: Vec<Received>,
    heard: Vec<String>,
    pipelined: usize,
    connections: usize,
    open: usize,
}

impl State {
    fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split(' ').next() == Some(extension))
    }

    /// The fault that happens at a step; it is counted then.
    fn fault(&mut self, step: Step) -> Option<Fault> {
        let at = self.faults.iter().position(|(fault, _)| fault.step() == step)?;
        let (fault, times) = self.faults.get_mut(at)?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            self.faults.remove(at);
        }
        Some(fault)
    }

    /// Whether every parameter belongs to an extension that is offered.
    fn knows(&self, parameters: &[String]) -> bool {
        parameters.iter().all(|parameter| match parameter.split('=').next() {
            Some("SIZE") => self.offers("SIZE"),
            Some("BODY") => self.offers("8BITMIME"),
            Some("SMTPUTF8") => self.offers("SMTPUTF8"),
            Some("RET" | "ENVID" | "NOTIFY" | "ORCPT") => self.offers("DSN"),
            _ => false,
        })
    }
}

/// The smarthost; it ends with the test.
#[derive(Debug, Clone)]
pub struct FakeSmarthost {
    is_implicit: bool,
    fake: Arc<Fake<State>>,
}

impl FakeSmarthost {
    /// Starts it. It offers nothing but what its TLS needs, and takes every message.
    ///
    /// # Panics
    /// Without a free port on loopback.
    pub async fn start(tls: Tls) -> Self {
        let is_implicit = matches!(tls, Tls::Implicit(_));
        let each = move |stream, state: Arc<Mutex<State>>| {
            let tls = tls.clone();
            async move {
                let _open = Open::count(&state);
                // A client that is gone ends its session, with an error or without.
                drop(serve(stream, tls, &state).await);
            }
        };
        Self { is_implicit, fake: Fake::start(each).await }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.fake.port
    }

    /// Its URL, by the name that [`crate::certificate::self_signed`] certifies. `login` is empty or `user:password@`.
    pub fn url(&self, login: &str) -> String {
        let scheme = if self.is_implicit { "smtps" } else { "smtp" };
        format!("{scheme}://{login}localhost:{}", self.fake.port)
    }

    /// What EHLO lists from now on, such as `SIZE 1000`, `DSN`, `AUTH PLAIN LOGIN`. STARTTLS is listed by itself.
    pub fn offer(&self, extensions: &[&str]) {
        self.fake.state().extensions = extensions.iter().map(|line| (*line).to_owned()).collect();
    }

    /// Only this user may send.
    pub fn require(&self, user: &str, password: &str) {
        self.fake.state().credentials = Some((user.to_owned(), password.to_owned()));
    }

    /// What RCPT for this address is answered from now on, lines split by `\n`.
    pub fn answer(&self, address: &str, reply: &str) {
        self.fake.state().replies.insert(address.to_owned(), reply.to_owned());
    }

    /// A fault from now on, so many times.
    pub fn fail(&self, fault: Fault, times: usize) {
        self.fake.state().faults.push_back((fault, times));
    }

    /// Nothing goes wrong any more, and every recipient is taken.
    pub fn recover(&self) {
        let mut state = self.fake.state();
        state.faults.clear();
        state.replies.clear();
    }

    /// The messages it has.
    pub fn received(&self) -> Vec<Received> {
        self.fake.state().received.clone()
    }

    /// The command lines it heard, on all connections; of AUTH no more than the mechanism.
    pub fn heard(&self) -> Vec<String> {
        self.fake.state().heard.clone()
    }

    /// How many commands were there before the one ahead of them was answered.
    pub fn pipelined(&self) -> usize {
        self.fake.state().pipelined
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.fake.state().connections
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.fake.state().open
    }
}

/// A connection that is counted as long as it is open.
struct Open<'a>(&'a Mutex<State>);

impl<'a> Open<'a> {
    fn count(state: &'a Mutex<State>) -> Self {
        let mut counts = lock(state);
        counts.connections += 1;
        counts.open += 1;
        Self(state)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(self.0).open -= 1;
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// One client.
struct Session<'a> {
    stream: BufReader<Box<dyn Socket>>,
    state: &'a Mutex<State>,
    /// What STARTTLS needs, until it is done.
    upgrade: Option<Arc<ServerConfig>>,
    is_tls: bool,
    user: Option<String>,
    sender: Option<Path>,
    recipients: Vec<Path>,
}

async fn serve(stream: TcpStream, tls: Tls, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let fault = lock(state).fault(Step::Connect);
    if let Some(Fault::Cut(_)) = fault {
        return Ok(());
    }
    let is_tls = matches!(tls, Tls::Implicit(_));
    let (socket, upgrade): (Box<dyn Socket>, _) = match tls {
        Tls::Implicit(config) => (Box::new(TlsAcceptor::from(config).accept(stream).await?), None),
        Tls::Upgrade(config) => (Box::new(stream), Some(config)),
        Tls::Never => (Box::new(stream), None),
    };
    let stream = BufReader::new(socket);
    let mut session =
        Session { stream, state, upgrade, is_tls, user: None, sender: None, recipients: Vec::new() };
    if session.play(fault, "220 smarthost.example ESMTP").await? {
        while session.command().await? {}
    }
    Ok(())
}

impl Session<'_> {
    /// Sends a reply, lines split by `\n`; after 421 the session ends.
    async fn say(&mut self, reply: &str) -> io::Result<()> {
        let lines = format!("{}\r\n", reply.replace('\n', "\r\n"));
        self.stream.write_all(lines.as_bytes()).await?;
        self.stream.flush().await?;
        if reply.starts_with("421") { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Answers, unless a fault says otherwise. Answers whether what was asked for is done.
    async fn play(&mut self, fault: Option<Fault>, reply: &str) -> io::Result<bool> {
        let reply = match fault {
            None => reply,
            Some(Fault::Answer(_, reply)) => reply,
            Some(Fault::Cut(_)) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::Silent(_)) => {
                tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.say(reply).await?;
        Ok(reply.starts_with(['2', '3']))
    }

    async fn answer(&mut self, step: Step, reply: &str) -> io::Result<bool> {
        let fault = lock(self.state).fault(step);
        self.play(fault, reply).await
    }

    /// The next line without its CRLF; none at the end.
    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        Ok(line.strip_suffix("\r\n").map(str::to_owned))
    }

    /// Answers one command, and whether there may be another.
    async fn command(&mut self) -> io::Result<bool> {
        let Some(line) = self.line().await? else { return Ok(false) };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let words = line.split(' ').take(if verb == "AUTH" { 2 } else { usize::MAX });
        lock(self.state).heard.push(words.collect::<Vec<_>>().join(" "));
        if !self.stream.buffer().is_empty() {
            lock(self.state).pipelined += 1;
            if !lock(self.state).offers("PIPELINING") || matches!(verb, "EHLO" | "DATA" | "STARTTLS" | "QUIT")
            {
                self.say("421 5.5.0 one command at a time").await?;
            }
        }
        match verb {
            "EHLO" => {
                let mut lines = vec!["smarthost.example".to_owned()];
                lines.extend(lock(self.state).extensions.iter().cloned());
                lines.extend(self.upgrade.is_some().then(|| "STARTTLS".to_owned()));
                let last = lines.pop().unwrap_or_default();
                let reply = lines.iter().map(|line| format!("250-{line}\n")).collect::<String>();
                self.answer(Step::Ehlo, &format!("{reply}250 {last}")).await?;
            }
            "STARTTLS" => return self.start_tls().await,
            "AUTH" => self.auth(rest).await?,
            "MAIL" => self.mail(rest).await?,
            "RCPT" => self.rcpt(rest).await?,
            "DATA" => self.data().await?,
            "RSET" => {
                (self.sender, self.recipients) = (None, Vec::new());
                self.answer(Step::Rset, "250 2.0.0 ok").await?;
            }
            "QUIT" => {
                self.say("221 2.0.0 bye").await?;
                return Ok(false);
            }
            _ => self.say("500 5.5.1 unknown").await?,
        }
        Ok(true)
    }

    async fn start_tls(&mut self) -> io::Result<bool> {
        let Some(config) = self.upgrade.clone() else {
            self.say("502 5.5.1 not offered").await?;
            return Ok(true);
        };
        if !self.answer(Step::StartTls, "220 2.0.0 go ahead").await? {
            return Ok(true);
        }
        let nowhere: Box<dyn Socket> = Box::new(tokio::io::empty());
        let plain = std::mem::replace(&mut self.stream, BufReader::new(nowhere)).into_inner();
        self.stream = BufReader::new(Box::new(TlsAcceptor::from(config).accept(plain).await?));
        (self.is_tls, self.upgrade) = (true, None);
        Ok(true)
    }

    async fn auth(&mut self, rest: &str) -> io::Result<()> {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let offered = lock(self.state).extensions.iter().find(|line| line.starts_with("AUTH ")).cloned();
        let known = lock(self.state).credentials.clone();
        if !offered.is_some_and(|line| line.split(' ').any(|word| word == mechanism)) {
            return self.say("504 5.5.4 no such mechanism").await;
        }
        let Some((user, password)) = known else { return self.say("535 5.7.8 nobody is known here").await };
        let is_known = if mechanism == "PLAIN" {
            initial == STANDARD.encode(format!("\0{user}\0{password}"))
        } else {
            let mut is_known = true;
            for (question, answer) in [("Username:", &user), ("Password:", &password)] {
                self.say(&format!("334 {}", STANDARD.encode(question))).await?;
                is_known &= self.line().await? == Some(STANDARD.encode(answer));
            }
            is_known
        };
        let reply = if is_known { "235 2.7.0 welcome" } else { "535 5.7.8 not you" };
        if self.answer(Step::Auth, reply).await? && is_known {
            self.user = Some(user);
        }
        Ok(())
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        let Some(path) = path(rest, "FROM:<") else { return self.say("501 5.5.4 what sender").await };
        if self.sender.is_some() {
            return self.say("503 5.5.1 nested MAIL").await;
        }
        if lock(self.state).credentials.is_some() && self.user.is_none() {
            return self.say("530 5.7.0 sign in first").await;
        }
        if !lock(self.state).knows(&path.parameters) {
            return self.say("555 5.5.4 a parameter that was not offered").await;
        }
        if self.answer(Step::Mail, "250 2.1.0 ok").await? {
            self.sender = Some(path);
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        let Some(path) = path(rest, "TO:<") else { return self.say("501 5.5.4 what recipient").await };
        if self.sender.is_none() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        if !lock(self.state).knows(&path.parameters) {
            return self.say("555 5.5.4 a parameter that was not offered").await;
        }
        let reply = lock(self.state).replies.get(&path.address).cloned();
        if self.answer(Step::Rcpt, reply.as_deref().unwrap_or("250 2.1.5 ok")).await?
            && reply.is_none_or(|reply| reply.starts_with('2'))
        {
            self.recipients.push(path);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.recipients.is_empty() {
            return self.say("554 5.5.1 no recipients").await;
        }
        if !self.answer(Step::Data, "354 go ahead").await? {
            return Ok(());
        }
        let octets = self.message().await?;
        let received = Received {
            sender: self.sender.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            octets,
            is_tls: self.is_tls,
            user: self.user.clone(),
        };
        let fault = lock(self.state).fault(Step::Dot);
        let is_refused = matches!(&fault, Some(Fault::Answer(_, reply)) if !reply.starts_with('2'));
        if !is_refused {
            lock(self.state).received.push(received);
        }
        self.play(fault, "250 2.0.0 queued").await?;
        Ok(())
    }

    /// The octets up to the final dot (RFC 5321 §4.5.2); only CRLF ends a line.
    async fn message(&mut self) -> io::Result<Vec<u8>> {
        let (mut octets, mut is_start) = (Vec::new(), true);
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if is_start && line == b".\r\n" {
                return Ok(octets);
            }
            octets.extend_from_slice(line.strip_prefix(b".").filter(|_| is_start).unwrap_or(&line));
            is_start = line.ends_with(b"\r\n");
            let fault = lock(self.state).fault(Step::Body);
            if fault.is_some() {
                self.play(fault, "").await?;
                // Whoever is refused in the middle goes away.
                self.play(Some(Fault::Silent(Step::Body)), "").await?;
            }
        }
    }
}

/// `FROM:<a@b> SIZE=1`, without its beginning.
fn path(text: &str, beginning: &str) -> Option<Path> {
    let text = text.strip_prefix(beginning)?;
    let (address, rest) = text.split_once("> ").or_else(|| Some((text.strip_suffix('>')?, "")))?;
    let parameters = rest.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    Some(Path { address: address.to_owned(), parameters })
}

//! The real binary, run as an engineer or a script would.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::hosts::say;

pub const BINARY: &str = env!("CARGO_BIN_EXE_banister");

/// Chapters 1 and 2 without a screen; the risk comes last.
pub const GROW: [&str; 5] = ["run", "--through", "etcd", "--headless", "--approve"];

/// All chapters without a screen; the risk comes last.
pub const GROW_ALL: [&str; 3] = ["run", "--headless", "--approve"];

/// Most time for one run: none takes a quarter of it.
const DEADLINE: Duration = Duration::from_mins(8);

/// A machine of the operator's own: journals and fetched backups go here and nowhere else.
pub struct Desk {
    dir: tempfile::TempDir,
}

/// How a run ended.
pub struct Ran {
    pub code: Option<i32>,
    /// Standard output, then standard error.
    pub said: String,
    pub took: Duration,
}

impl Ran {
    /// The run, if it ended with that exit code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; the run said last:\n{}", self.last());
        self
    }

    /// The run, if it said that.
    #[track_caller]
    pub fn saying(self, what: &str) -> Self {
        assert!(self.said.contains(what), "not said: {what}\n{}", self.last());
        self
    }

    /// Its last lines: a whole run is hundreds.
    pub fn last(&self) -> String {
        let lines: Vec<_> = self.said.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

impl Desk {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a scratch directory") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What keeps a run's files here.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("XDG_STATE_HOME", self.path().join("state")), ("XDG_DATA_HOME", self.path().join("data"))]
    }

    fn command(&self, arguments: &[&str], file: &Path) -> Command {
        let mut command = Command::new(BINARY);
        let (verb, flags) = arguments.split_first().expect("a command");
        command.arg(verb).arg(file).args(flags).envs(self.environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Through a shell that sets the limit; the signal that goes with it is ignored, so that writing fails as on a full disk.
    fn limited(&self, command: &Command, kib: u32) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""), BINARY]);
        shell.args(command.get_args()).envs(self.environment());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    /// `banister run FILE --through etcd --headless --approve RISK`, to its end.
    pub fn grow(&self, file: &Path, approve: &str) -> Ran {
        self.run(&[&GROW[..], &[approve]].concat(), file)
    }

    /// `banister run FILE --headless --approve RISK`, to its end.
    pub fn grow_all(&self, file: &Path, approve: &str) -> Ran {
        self.run(&[&GROW_ALL[..], &[approve]].concat(), file)
    }

    /// Any command on a cluster file, to its end.
    pub fn run(&self, arguments: &[&str], file: &Path) -> Ran {
        self.until(arguments, file, |_| false)
    }

    /// The same, killed (SIGKILL) as soon as a line of its output satisfies `kill`.
    pub fn until(&self, arguments: &[&str], file: &Path, mut kill: impl FnMut(&str) -> bool) -> Ran {
        self.until_limited(arguments, file, None, |line, _| kill(line))
    }

    /// The same, told which process it is, where no file of its own may get longer than so many KiB: a disk that is full,
    /// without a disk.
    pub fn until_limited(
        &self,
        arguments: &[&str],
        file: &Path,
        limit: Option<u32>,
        mut kill: impl FnMut(&str, u32) -> bool,
    ) -> Ran {
        let began = Instant::now();
        let mut command = self.command(arguments, file);
        if let Some(kib) = limit {
            command = self.limited(&command, kib);
        }
        let mut child = command.spawn().expect(BINARY);
        let errors = drain(child.stderr.take().expect("piped"));
        let lines = lines(child.stdout.take().expect("piped"));
        let mut said = String::new();
        loop {
            let left = DEADLINE.saturating_sub(began.elapsed());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                    if kill(&line, child.id()) {
                        child.kill().expect("kill");
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => give_up(&mut child, &said),
            }
        }
        let code = child.wait().expect("wait").code();
        said.push_str(&errors.recv().unwrap_or_default());
        let ran = Ran { code, said, took: began.elapsed() };
        let how = ran.code.map_or("killed".to_owned(), |c| format!("exit code {c}"));
        say(format!("banister {}: {how} after {:.1} s", arguments.join(" "), ran.took.as_secs_f64()));
        ran
    }
}

fn give_up(child: &mut Child, said: &str) -> ! {
    child.kill().expect("kill");
    panic!("no end after {DEADLINE:?}; the run said:\n{said}");
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn drain(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (to, all) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = to.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    all
}

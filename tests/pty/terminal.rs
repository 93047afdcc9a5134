//! A program in a pseudo-terminal, and what an engineer would see there.

use std::{
    io::{Read, Write},
    num::NonZero,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Screen;

/// Most time a condition may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// The emulator, and whether the program's side is closed.
struct Shown {
    parser: vt100::Parser,
    closed: bool,
    /// The reader is to let go of the terminal.
    let_go: bool,
}

/// A program in a pseudo-terminal of its own.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// How the terminal driver was set before the program began.
    before: String,
    /// Home directory of the program, where it is started; gone with it.
    home: tempfile::TempDir,
}

/// The program under test.
pub fn banister() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_banister"))
}

/// The example that walks in scenes: the one that panics on demand. `cargo test` builds it beside the program.
pub fn walker() -> PathBuf {
    let path = banister().with_file_name("examples").join("screens");
    assert!(path.exists(), "{} is missing: cargo build --example screens", path.display());
    path
}

impl Terminal {
    /// Starts a program at a terminal of that size, columns first.
    pub fn start(program: &Path, args: &[&str], size: (u16, u16), env: &[(&str, &str)]) -> Self {
        Self::start_in(program, args, size, env, |_| ())
    }

    /// The same, in a home directory that is furnished first.
    pub fn start_in(
        program: &Path,
        args: &[&str],
        size: (u16, u16),
        env: &[(&str, &str)],
        furnish: impl Fn(&Path),
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        furnish(home.path());
        let pair = native_pty_system().openpty(pty_size(size)).unwrap();
        let before = settings(&*pair.master);
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(home.path());
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", &path())].iter().chain(env) {
            command.env(name, value);
        }
        for (name, below) in [("HOME", ""), ("XDG_STATE_HOME", "state"), ("XDG_DATA_HOME", "data")] {
            command.env(name, home.path().join(below));
        }
        command.env("XDG_CONFIG_HOME", home.path().join("config"));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Shown { parser: vt100::Parser::new(some(size.1), some(size.0), 0), closed: false, let_go: false };
        let shown = Arc::new((Mutex::new(shown), Condvar::new()));
        read_into(pair.master.try_clone_reader().unwrap(), shown.clone());
        let writer = pair.master.take_writer().unwrap();
        Self { child, master: Some(pair.master), writer: Some(writer), shown, before, home }
    }

    /// Its home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Changes the terminal's size.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.shown.0.lock().unwrap().parser.screen_mut().set_size(some(size.1), some(size.0));
        self.master.as_ref().unwrap().resize(pty_size(size)).unwrap();
    }

    /// Sends a signal to the program.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The terminal goes away, as when an SSH session drops.
    pub fn hang_up(&mut self) {
        self.shown.0.lock().unwrap().let_go = true;
        // The reader waits for output: a resize makes some.
        self.resize((100, 30));
        drop(self.wait_closed());
        self.writer = None;
        self.master = None;
    }

    /// Waits until the screen is as wanted, and gives what it then shows.
    pub fn until(&self, what: &str, wanted: impl Fn(&Screen) -> bool) -> String {
        let (lock, changed) = &*self.shown;
        let began = Instant::now();
        let mut shown = lock.lock().unwrap();
        loop {
            if wanted(shown.parser.screen()) {
                return shown.parser.screen().contents();
            }
            let left = DEADLINE.checked_sub(began.elapsed());
            let now = shown.parser.screen().contents();
            let Some(left) = left.filter(|_| !shown.closed) else {
                panic!("{what}: never seen; the last screen:\n{now}")
            };
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until there is something in the home directory, and gives it.
    pub fn waits_for<T>(&self, what: &str, seen: impl Fn(&Path) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(seen) = seen(self.home()) {
                return seen;
            }
            assert!(began.elapsed() < DEADLINE, "{what}: never seen; the last screen:\n{}", self.contents());
            // Files can't be awaited by portable means.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until the screen shows a text.
    pub fn sees(&self, text: &str) -> String {
        self.until(text, |screen| screen.contents().contains(text))
    }

    /// Waits for the program's end; its exit code.
    pub fn ends(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), None, "a signal killed it");
                return status.exit_code();
            }
            assert!(began.elapsed() < DEADLINE, "it never ended; the last screen:\n{}", self.contents());
            // The end of a process can't be awaited together with a deadline by portable means.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// What is on the screen now.
    pub fn contents(&self) -> String {
        self.shown.0.lock().unwrap().parser.screen().contents()
    }

    /// Waits until nothing more can come.
    fn wait_closed(&self) -> std::sync::MutexGuard<'_, Shown> {
        let (lock, changed) = &*self.shown;
        let (shown, late) = changed.wait_timeout_while(lock.lock().unwrap(), DEADLINE, |s| !s.closed).unwrap();
        assert!(!late.timed_out(), "the program's side of the terminal is still open");
        shown
    }

    /// After the end: everything of the terminal is as it was found.
    pub fn assert_restored(&self) {
        let shown = self.wait_closed();
        let screen = shown.parser.screen();
        assert!(!screen.alternate_screen(), "still on the alternate screen");
        assert!(!screen.bracketed_paste(), "bracketed paste still on");
        assert!(!screen.hide_cursor(), "the cursor is still hidden");
        assert_eq!(screen.fgcolor(), vt100::Color::Default, "a colour is left on");
        assert!(!screen.bold() && !screen.inverse(), "an attribute is left on");
        if let Some(master) = &self.master {
            assert_eq!(settings(&**master), self.before, "the terminal driver is set otherwise than before");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
    }
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into())
}

fn some(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

fn pty_size((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// The driver's settings as text: raw mode is in them.
fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

fn read_into(mut from: Box<dyn Read + Send>, shown: Arc<(Mutex<Shown>, Condvar)>) {
    std::thread::spawn(move || {
        let mut buf = [0; 8192];
        loop {
            let read = from.read(&mut buf).unwrap_or(0);
            let (lock, changed) = &*shown;
            let mut shown = lock.lock().unwrap();
            shown.parser.process(&buf[..read]);
            if read == 0 || shown.let_go {
                // The terminal is held open by every copy of it.
                drop(from);
                shown.closed = true;
                changed.notify_all();
                return;
            }
            changed.notify_all();
        }
    });
}

/// A cluster file whose hosts are this machine's own addresses, at that port.
pub fn cluster_file(dir: &Path, port: u16) -> PathBuf {
    let file = dir.join("prod.yaml");
    // What is asked of a host that answers is not in question here, so no key of anybody's is offered either.
    let text = format!(
        "cluster: prod\nssh: {{ user: root, port: {port}, identity: {0}/none, known_hosts: {0}/known_hosts }}\n\
         masters:\n  - {{ name: master01, address: 10.0.0.1, ssh: {{ host: 127.0.0.1 }} }}\n\
         \u{20} - {{ name: master02, address: 10.0.0.2, ssh: {{ host: 127.0.0.2 }}, comment: 备用机房，三楼 }}\n\
         \u{20} - {{ name: master03, address: 10.0.0.3, ssh: {{ host: 127.0.0.3 }} }}\n\
         join:\n  - {{ name: master04, address: 10.0.0.4, ssh: {{ host: 127.0.0.4 }} }}\n\
         \u{20} - {{ name: master05, address: 10.0.0.5, ssh: {{ host: 127.0.0.5 }} }}\n",
        dir.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// A port of this machine, on no address of which anybody listens.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

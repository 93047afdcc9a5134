//! A terminal of 80 columns and 24 rows, in a tmux of the tests' own.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::hosts::{text, wait_for};

/// The socket's name: `tests/lab/run` ends what a killed test leaves behind.
const SOCKET: &str = "banister-lab";
const SESSION: &str = "wizard";

/// A shell in a terminal; gone when dropped.
pub struct Terminal {
    session: &'static str,
}

fn tmux(arguments: &[&str]) -> Command {
    let mut command = Command::new("tmux");
    command.args(["-L", SOCKET, "-f", "/dev/null", "-u"]).args(arguments).stdin(Stdio::null());
    command
}

fn said(arguments: &[&str]) -> String {
    let out = tmux(arguments).output().expect("tmux; install it");
    assert!(out.status.success(), "tmux {arguments:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

impl Terminal {
    /// A plain shell with these variables, in that directory.
    pub fn open(dir: &Path, environment: &[(&str, &Path)]) -> Self {
        let _ = tmux(&["kill-server"]).output();
        let mut arguments: Vec<String> =
            ["new-session", "-d", "-s", SESSION, "-x", "80", "-y", "24", "-c"].map(ToOwned::to_owned).to_vec();
        arguments.push(dir.display().to_string());
        for (name, value) in environment {
            arguments.extend(["-e".to_owned(), format!("{name}={}", value.display())]);
        }
        arguments.extend(["-e", "LC_ALL=C.UTF-8", "-e", "PS1=$ ", "sh"].map(ToOwned::to_owned));
        said(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        said(&["set-option", "-g", "status", "off"]);
        said(&["resize-window", "-t", SESSION, "-x", "80", "-y", "24"]);
        Self { session: SESSION }
    }

    /// Types characters.
    pub fn types(&self, characters: &str) {
        said(&["send-keys", "-t", self.session, "-l", characters]);
    }

    /// Presses a key by tmux's name for it.
    pub fn presses(&self, key: &str) {
        said(&["send-keys", "-t", self.session, key]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        said(&["capture-pane", "-p", "-t", self.session])
    }

    /// Waits until the screen shows that; the screen.
    pub fn shows(&self, what: &str, deadline: Duration) -> String {
        wait_for(what, deadline, || {
            let screen = self.screen();
            if screen.contains(what) { Ok(screen) } else { Err(screen) }
        })
    }

    /// Alternate screen, cursor, mouse and keypad as the terminal has them now.
    pub fn modes(&self) -> String {
        let format = "alternate #{alternate_on} cursor #{cursor_flag} keypad #{keypad_flag} cursor-keys #{keypad_cursor_flag} \
                      mouse #{mouse_any_flag} wrap #{wrap_flag} size #{pane_width}x#{pane_height}";
        said(&["display-message", "-p", "-t", self.session, format])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tmux(&["kill-server"]).output();
    }
}

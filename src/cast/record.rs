//! Writing: a copy of everything drawn, an event a frame.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde_json::json;

use super::CastError;

/// Asks the terminal for its size in columns and rows.
type Look = fn() -> Option<(u16, u16)>;

/// Takes what is drawn. All clones write into one file; a frame is written when it is flushed, so that a crash keeps
/// everything up to the last one.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Tape>>);

#[derive(Debug)]
struct Tape {
    /// Gone after the first write that failed.
    file: Option<File>,
    path: PathBuf,
    began: Instant,
    /// Columns and rows as recorded last.
    size: (u16, u16),
    /// Tells the terminal's size.
    look: Option<Look>,
    /// Bytes of the frame that is being drawn.
    frame: Vec<u8>,
    trouble: Option<String>,
}

impl Recorder {
    /// Begins a recording of a terminal of that size (columns, rows). The file is new, and only its owner may read it.
    ///
    /// # Errors
    /// When the file is there already or cannot be made.
    pub fn create(path: &Path, size: (u16, u16), title: &str) -> Result<Self, CastError> {
        let fail = |e: io::Error| CastError::Create { path: path.to_owned(), why: e.to_string() };
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
        let mut tape = Tape {
            file: Some(file),
            path: path.to_owned(),
            began: Instant::now(),
            size,
            look: None,
            frame: Vec::new(),
            trouble: None,
        };
        tape.line(&json!({
            "version": 2,
            "width": size.0,
            "height": size.1,
            "timestamp": jiff::Timestamp::now().as_second(),
            "title": title,
            "env": { "TERM": "xterm-256color" },
        }));
        tape.event("o", "\u{1b}[?25l");
        match tape.trouble.take() {
            Some(why) => Err(CastError::Create { path: path.to_owned(), why }),
            None => Ok(Self(Arc::new(Mutex::new(tape)))),
        }
    }

    /// Asks for the terminal's size before each frame: who draws may have seen a new one before anybody was told of it.
    #[must_use]
    pub fn following(self, look: Look) -> Self {
        self.with(|tape| tape.look = Some(look));
        self
    }

    /// The terminal has that size from now on.
    pub fn resized(&self, columns: u16, rows: u16) {
        self.with(|tape| tape.resized((columns, rows)));
    }

    /// Ends the recording: whoever plays it gets a cursor again, below what was shown last. Why it is not whole, if it
    /// isn't.
    pub fn end(&self, rows: u16) -> Result<(), String> {
        self.with(|tape| {
            tape.frame();
            tape.event("o", &format!("\u{1b}[0m\u{1b}[{rows};1H\u{1b}[?25h"));
            tape.trouble.clone().map_or(Ok(()), Err)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Tape) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|tape| tape.frame.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(Tape::frame);
        Ok(())
    }
}

impl Tape {
    /// Writes the frame drawn so far; a letter that is not whole yet waits for its end.
    fn frame(&mut self) {
        let whole = match std::str::from_utf8(&self.frame) {
            Ok(_) => self.frame.len(),
            Err(e) => e.valid_up_to(),
        };
        let rest = self.frame.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.frame, rest)).unwrap_or_default();
        if !text.is_empty() {
            if let Some(size) = self.look.and_then(|look| look()) {
                self.resized(size);
            }
            self.event("o", &text);
        }
        // Nothing that is no text is drawn; should it be all the same, it must not hold up what follows.
        if self.frame.len() > 4 {
            self.frame.clear();
        }
    }

    fn resized(&mut self, size: (u16, u16)) {
        if self.size != size {
            self.size = size;
            self.event("r", &format!("{}x{}", size.0, size.1));
        }
    }

    fn event(&mut self, kind: &str, text: &str) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a session of 285 years would lose a microsecond")]
        let seconds = micros as f64 / 1e6;
        self.line(&json!([seconds, kind, text]));
    }

    fn line(&mut self, value: &serde_json::Value) {
        let Some(file) = &mut self.file else { return };
        // One write a line: what is in the file is whole up to the last line.
        if let Err(e) = file.write_all(format!("{value}\n").as_bytes()) {
            self.trouble = Some(tr!(
                "the recording {path} ends early: {e}; make room, or record to another place",
                path = self.path.display(),
                e = e
            ));
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cast::{What, read};

    #[test]
    fn what_is_flushed_is_in_the_file_and_only_the_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.cast");
        let mut recorder = Recorder::create(&path, (80, 24), "banister 练习").unwrap();
        let word = "练".as_bytes();
        recorder.write_all(&word[..1]).unwrap();
        recorder.flush().unwrap();
        recorder.write_all(&word[1..]).unwrap();
        recorder.flush().unwrap();
        recorder.resized(100, 30);
        // Not ended: as after a crash.
        let cast = read(&path).unwrap();
        assert_eq!((cast.size, cast.title.as_str()), ((80, 24), "banister 练习"));
        let what: Vec<_> = cast.events.iter().map(|e| e.what.clone()).collect();
        let expected = [What::Output("\u{1b}[?25l".into()), What::Output("练".into()), What::Resize(100, 30)];
        assert_eq!(what, expected);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = Recorder::create(&path, (80, 24), "").unwrap_err().to_string();
        assert!(again.contains("x.cast") && again.contains("another"), "{again}");
        assert_eq!(recorder.end(24), Ok(()));
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_nothing_else() {
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { panic!("no /dev/full on this machine") };
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&dir.path().join("x.cast"), (80, 24), "").unwrap();
        recorder.with(|tape| tape.file = Some(full));
        recorder.write_all(b"frame").unwrap();
        recorder.flush().unwrap();
        assert!(recorder.end(24).unwrap_err().contains("ends early"));
    }
}

//! What a trainee does about a drill, done to the practice cluster.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    outside::Outside,
    session::{Session, unheard},
    wizard::Inner,
};
use crate::{
    practice::Practice,
    training::drill::Drill,
    ui::{DrillMsg, DrillWish, Msg},
};

/// How often it is looked whether a deed has cured the fault: members need a moment to find each other again, and an
/// apiserver to start.
const LOOKS: u32 = 24;

/// The same for a deed that cures nothing by itself; after a file was mended by hand it may.
const FEW_LOOKS: u32 = 6;

/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(700);

/// A drill and the cluster it happens in.
#[derive(Debug, Clone)]
pub(super) struct Trainee {
    pub drill: Arc<Drill>,
    pub practice: Practice,
    /// Files were changed by hand: any deed may be what was missing.
    edited: Arc<AtomicBool>,
}

impl Trainee {
    /// Who has that drill in front of them.
    pub fn new(drill: Arc<Drill>, practice: Practice) -> Self {
        Self { drill, practice, edited: Arc::default() }
    }

    /// Lays the drill's files out for another terminal, and does to the hosts what is done to them there.
    pub fn open_outside(&self, session: &Session, to: &UnboundedSender<Inner>) {
        if self.drill.files.is_empty() {
            return;
        }
        let (this, session, to) = (self.clone(), session.clone(), to.clone());
        tokio::spawn(async move {
            // Without room for them the drill goes on all the same: files can be changed on the screen, too.
            let Ok(mut outside) = Outside::lay(this.drill.files.clone(), &this.practice) else { return };
            let dir = outside.dir().display().to_string();
            let _ = to.send(Inner::Msg(Msg::Drill(DrillMsg::Outside(dir))));
            loop {
                tokio::time::sleep(BETWEEN).await;
                if to.is_closed() {
                    return;
                }
                if let Some(done) = outside.look(&this.practice) {
                    this.edited.store(true, Ordering::SeqCst);
                    for (at, name) in this.drill.files.iter().enumerate() {
                        // Keys are never on the screen.
                        if let Ok(text) = this.readable(name) {
                            let _ = to.send(Inner::Msg(Msg::Drill(DrillMsg::Changed { at, text })));
                        }
                    }
                    let looks = if done.is_ok() { FEW_LOOKS } else { 1 };
                    let cured = this.cured(&session, &to, looks).await;
                    let msg = DrillMsg::Done { repair: None, refused: done.err(), cured };
                    let _ = to.send(Inner::Msg(Msg::Drill(msg)));
                }
            }
        });
    }

    /// Does what was wished, then looks what it came to.
    pub fn wish(&self, wish: DrillWish, session: &Session, to: &UnboundedSender<Inner>) {
        let (this, session, to) = (self.clone(), session.clone(), to.clone());
        tokio::spawn(async move {
            let msg = match wish {
                DrillWish::Open(at) => {
                    let name = this.drill.files.get(at).cloned().unwrap_or_default();
                    DrillMsg::File { at, text: this.readable(&name) }
                }
                DrillWish::Save { file, text } => {
                    let name = this.drill.files.get(file).cloned().unwrap_or_default();
                    this.edited.store(true, Ordering::SeqCst);
                    let refused = this.practice.write_text(&name, &text).err();
                    let cured = this.cured(&session, &to, FEW_LOOKS).await;
                    DrillMsg::Done { repair: None, refused, cured }
                }
                DrillWish::Repair(at) => {
                    let right = this.drill.repairs.get(at).is_some_and(|r| r.right);
                    let refused = this.drill.repair(at, &this.practice).err();
                    let looks = match &refused {
                        Some(_) => 1,
                        None if right || this.edited.load(Ordering::SeqCst) => LOOKS,
                        None => FEW_LOOKS,
                    };
                    let cured = this.cured(&session, &to, looks).await;
                    DrillMsg::Done { repair: Some(at), cured, refused }
                }
            };
            let _ = to.send(Inner::Msg(Msg::Drill(msg)));
        });
    }

    /// A file's text, unless that is nothing for a screen.
    fn readable(&self, name: &str) -> Result<String, String> {
        let text = self.practice.read_text(name)?;
        if text.contains("PRIVATE KEY") {
            return Err(tr!("{file}: a private key is not shown; copy it in another terminal", file = name));
        }
        Ok(text)
    }

    /// Looks until nothing is left of the fault, or for so many times.
    async fn cured(&self, session: &Session, to: &UnboundedSender<Inner>, looks: u32) -> bool {
        let mut cured = false;
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let looked = session.look(unheard()).await;
            cured = self.drill.cleared(&looked.observed, &self.practice);
            let _ = to.send(Inner::Looked(looked));
            if cured {
                break;
            }
        }
        cured
    }
}

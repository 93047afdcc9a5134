//! What a trainee does about a drill, done to the practice cluster.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    session::{Session, unheard},
    wizard::Inner,
};
use crate::{
    practice::Practice,
    training::drill::Drill,
    ui::{DrillMsg, DrillWish, Msg},
};

/// How often it is looked whether a deed has cured the fault: members need a moment to find each other again.
const LOOKS: u32 = 20;

/// The same for a deed that cures nothing by itself; after a file was mended by hand it may.
const FEW_LOOKS: u32 = 6;

/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(700);

/// A drill and the cluster it happens in.
#[derive(Debug, Clone)]
pub(super) struct Trainee {
    pub drill: Arc<Drill>,
    pub practice: Practice,
}

impl Trainee {
    /// Does what was wished, then looks what it came to.
    pub fn wish(&self, wish: DrillWish, session: &Session, to: &UnboundedSender<Inner>) {
        let (this, session, to) = (self.clone(), session.clone(), to.clone());
        tokio::spawn(async move {
            let msg = match wish {
                DrillWish::Open(at) => {
                    let name = this.drill.files.get(at).cloned().unwrap_or_default();
                    DrillMsg::File { at, text: this.practice.read_text(&name) }
                }
                DrillWish::Save { file, text } => {
                    let name = this.drill.files.get(file).cloned().unwrap_or_default();
                    let refused = this.practice.write_text(&name, &text).err();
                    let cured = this.cured(&session, &to, 1).await.unwrap_or(false);
                    DrillMsg::Done { repair: None, refused, cured }
                }
                DrillWish::Repair(at) => {
                    let right = this.drill.repairs.get(at).is_some_and(|r| r.right);
                    let refused = this.drill.repair(at, &this.practice).err();
                    let looks = match (&refused, right) {
                        (Some(_), _) => 1,
                        (None, true) => LOOKS,
                        (None, false) => FEW_LOOKS,
                    };
                    let cured = this.cured(&session, &to, looks).await;
                    DrillMsg::Done { repair: Some(at), cured: cured.unwrap_or(right && refused.is_none()), refused }
                }
            };
            let _ = to.send(Inner::Msg(Msg::Drill(msg)));
        });
    }

    /// Looks until nothing is left of the fault, or for so many times; `None` where only the steps would show it.
    async fn cured(&self, session: &Session, to: &UnboundedSender<Inner>, looks: u32) -> Option<bool> {
        let mut cured = None;
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let looked = session.look(unheard()).await;
            cured = self.drill.cleared(&looked.observed);
            let _ = to.send(Inner::Looked(looked));
            if cured != Some(false) {
                break;
            }
        }
        cured
    }
}

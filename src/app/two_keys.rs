//! The second person at the operator's screen: paired once, then asked before each point of no return.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::wizard::AtScreen;
use crate::engine::{
    StepId,
    witness::{Pairing, Second, number},
};

/// So many wrong codes, and the answer is no.
const TRIES: usize = 3;

/// The pairing, once there is one; `None` in it when nobody came.
type Paired = Option<Option<Arc<Pairing>>>;

/// The second person.
#[derive(Clone)]
pub(super) struct TwoKeys {
    asker: Arc<AtScreen>,
    paired: watch::Receiver<Paired>,
}

impl TwoKeys {
    /// Asks for the pairing line at once, beside everything else.
    pub fn pair(asker: Arc<AtScreen>) -> Self {
        let (tell, paired) = watch::channel(None);
        let at = asker.clone();
        tokio::spawn(async move {
            let mut said = String::new();
            let pairing = loop {
                let ask = tr!(
                    "Two-key mode: points of no return want a second person. They run `banister witness` on a terminal of their own, and type here, themselves, the line it shows. It is not shown here. Without it, points of no return are answered with no."
                );
                let prompt = if said.is_empty() { ask } else { format!("{said}\n\n{ask}") };
                let Some(line) = at.ask(prompt, true).await else { break None };
                match Pairing::parse(line.expose_secret()) {
                    Ok(pairing) => break Some(Arc::new(pairing)),
                    Err(e) => said = e.to_string(),
                }
            };
            let _ = tell.send(Some(pairing));
        });
        Self { asker, paired }
    }

    /// Asks the second person about a step; `None` is no.
    pub async fn second(&self, step: &StepId) -> Option<Second> {
        let pairing = self.paired.clone().wait_for(Option::is_some).await.ok()?.clone()??;
        let number = number().ok()?;
        let mut said = String::new();
        for _ in 0..TRIES {
            let ask = tr!(
                "{step} is a point of no return. {name} types this at `banister witness`:\n\n    {step} {number}\n\nreads there what it does, and gives a code of six digits. Type the code:",
                step = step,
                name = pairing.name(),
                number = number
            );
            let prompt = if said.is_empty() { ask } else { format!("{said}\n\n{ask}") };
            let code = self.asker.ask(prompt, true).await?;
            if let Some(second) = pairing.check(step, &number, code.expose_secret()) {
                return Some(second);
            }
            said = tr!("That code is not the one for this step and number.");
        }
        None
    }
}

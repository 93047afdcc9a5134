//! The second person at the operator's screen: paired once, then asked before each point of no return.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::wizard::AtScreen;
use crate::{
    engine::{
        StepId,
        witness::{Pairing, Second, number},
    },
    training::both,
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
                let ask = both!(
                    "Two-key mode: points of no return want a second person. They run `banister witness` on a terminal of their own, and type here, themselves, the line it shows. It is not shown here. Without it, points of no return are answered with no.",
                    "双人确认模式：不可逆步骤需要第二个人同意。请第二个人在自己的终端运行 `banister witness`，并亲自在这里输入它显示的那一行（这里不会显示）。没有它，不可逆步骤一律视为不同意。"
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
            let ask = both!(
                "{step} is a point of no return. {name} types this at `banister witness`:\n\n    {step} {number}\n\nreads there what it does, and gives a code of six digits. Type the code:",
                "{step} 是不可逆步骤。请 {name} 在 `banister witness` 里输入：\n\n    {step} {number}\n\n读完那里的说明后会得到六位数字的代码。请输入代码：",
                step = step,
                name = pairing.name(),
                number = number
            );
            let prompt = if said.is_empty() { ask } else { format!("{said}\n\n{ask}") };
            let code = self.asker.ask(prompt, true).await?;
            if let Some(second) = pairing.check(step, &number, code.expose_secret()) {
                return Some(second);
            }
            said = both!("That code is not the one for this step and number.", "这个代码与该步骤和数字不符。");
        }
        None
    }
}

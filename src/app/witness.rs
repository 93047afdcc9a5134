//! `banister witness`: the second person's terminal in two-key mode. Plain lines, so that it runs anywhere.

use std::io::{BufRead, Write};

use super::{cli::WitnessArgs, session::operator_name};
use crate::{
    cluster::HostName,
    engine::witness::Pairing,
    remote::clean,
    runbook::{kind, texts},
};

/// Columns of what is said: any terminal has them.
const COLUMNS: usize = 78;

/// Shows the pairing line, then codes for what is agreed to; the exit code.
pub(super) fn run(args: &WitnessArgs) -> u8 {
    let name = args.name.clone().unwrap_or_else(operator_name);
    let pairing = match Pairing::new(&name) {
        Ok(pairing) => pairing,
        Err(e) => {
            eprintln!("banister: {e}");
            return 1;
        }
    };
    talk(&pairing, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    0
}

/// The conversation, until the input ends.
fn talk(pairing: &Pairing, input: &mut impl BufRead, output: &mut impl Write) {
    let mut say = |text: String| {
        let lines: Vec<String> = text.lines().map(|line| textwrap::fill(line, COLUMNS)).collect();
        // A reader that is gone has left.
        let _ = writeln!(output, "{}", lines.join("\n")).and_then(|()| output.flush());
    };
    say(tr!(
        "You are the second key, as {name}. Type this line at the operator's terminal yourself; it holds until you end this:\n\n    {line}\n",
        name = pairing.name(),
        line = pairing.line()
    ));
    loop {
        say(tr!(
            "Before a point of no return the operator's screen shows a step and a number. Type both, as in `etcd.promote@master04 48213`; q ends:"
        ));
        let Some(line) = read(input).filter(|l| l != "q") else { return };
        let Some((step, number)) = line.split_once(' ').map(|(s, n)| (s.trim(), n.trim())) else {
            say(tr!("A step, a space and five digits, please."));
            continue;
        };
        let (name, host) = step.split_once('@').map_or((step, None), |(k, h)| (k, Some(HostName::new(h))));
        let Some((known, _)) = kind(name).filter(|_| number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit()))
        else {
            say(tr!(
                "There is no such step, or the number is not five digits. Do not say yes to what you cannot read here."
            ));
            continue;
        };
        let text = texts::text(known);
        say(format!("\n{}\n\n{}\n", texts::title(known, host.as_ref()), text.what));
        say(tr!(
            "Can be taken back: {until}.\nCost: {cost}.\nIt is a point of no return. Does the operator's screen show this step on this host, and do you agree? Type yes:",
            until = text.undo.until,
            cost = text.undo.cost
        ));
        match read(input).as_deref() {
            Some("yes") => {
                let code = pairing.code(step, number);
                say(tr!("\nCode: {first} {last}\n", first = &code[..3], last = &code[3..]));
            }
            Some(_) => say(tr!("No code was made.\n")),
            None => return,
        }
    }
}

/// A line, cleaned; `None` at the end.
fn read(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(clean::line(line.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::StepId;

    fn said(pairing: &Pairing, typed: &str) -> String {
        let mut out = Vec::new();
        talk(pairing, &mut typed.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_code_comes_after_reading_and_agreeing_and_fits_that_question() {
        let pairing = Pairing::new("wang").unwrap();
        let text = said(&pairing, "etcd.promote@master04 48213\nyes\nq\n");
        let code: String = text.lines().find_map(|l| l.strip_prefix("Code: ")).unwrap().into();
        let step = StepId { kind: "etcd.promote", host: Some(HostName::new("master04")) };
        let there = Pairing::parse(&pairing.line()).unwrap();
        assert_eq!(there.check(&step, "48213", &code).unwrap().name(), "wang");
        assert!(text.contains("master04") && text.contains("point of no return"), "{text}");
    }

    #[test]
    fn anything_but_yes_to_a_known_step_makes_no_code() {
        let pairing = Pairing::new("wang").unwrap();
        for typed in [
            "etcd.promote@master04 48213\ny\n",
            "etcd.promote@master04 48213\n",
            "rm.all@x 48213\nyes\n",
            "etcd.promote@x 4821\nyes\n",
            "yes\n",
        ] {
            assert!(!said(&pairing, typed).contains("Code:"), "{typed}");
        }
    }
}

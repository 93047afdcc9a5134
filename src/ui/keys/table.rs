//! The table itself.

use crossterm::event::KeyCode;

use super::{Action, Binding, Context, Key, ch, ctrl, key};
use crate::ui::model::{Panel, Section};

use Context as C;

const SCREENS: &[Context] = &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished];
const PAGES: &[Context] =
    &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::ConfirmTyped, C::Undo, C::Help];
const TYPED: &[Context] = &[C::ConfirmTyped, C::Secret, C::QuitHard, C::Prompt, C::Palette];
const PRESSED: &[Context] =
    &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo, C::Help];

const fn bind(
    keys: &'static [Key],
    action: Action,
    contexts: &'static [Context],
    short: &'static str,
    does: &'static str,
) -> Binding {
    Binding { keys, action, contexts, short, does }
}

/// The table. The footer shows what fits, in this order.
pub const TABLE: &[Binding] = &[
    bind(&[ch('y')], Action::Yes, &[C::Confirm], "yes, run it", "Yes: run this step"),
    bind(&[ch('y')], Action::Yes, &[C::Undo], "yes, take it back", "Yes: take the step back as shown"),
    bind(&[ch('y')], Action::Yes, &[C::HostKey], "yes, it is this key", "Yes: this is the host's key; remember it"),
    bind(
        &[ch('y')],
        Action::Yes,
        &[C::TakeOver],
        "yes, take it over",
        "Yes: nobody works there any more; take the lock over",
    ),
    bind(&[ch('y')], Action::Yes, &[C::Quit], "yes, leave", "Yes: leave; what runs is finished first"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Submit,
        &[C::ConfirmTyped],
        "run it, once typed",
        "Run the step, if the name above was typed",
    ),
    bind(&[key(KeyCode::Enter)], Action::Submit, &[C::Secret], "send", "Send what was typed"),
    bind(&[key(KeyCode::Enter)], Action::Submit, &[C::Prompt], "take it", "Take what was typed"),
    bind(&[key(KeyCode::Enter)], Action::Submit, &[C::Palette], "do it", "Do what is selected"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Submit,
        &[C::QuitHard],
        "leave, once typed",
        "Leave now, if the word above was typed",
    ),
    bind(
        &[ch('n')],
        Action::Refuse,
        &[C::Confirm],
        "no, stop here",
        "No: stop the run here; this step changed nothing",
    ),
    bind(&[ch('n'), key(KeyCode::Esc)], Action::No, &[C::Undo, C::HostKey, C::TakeOver, C::Quit], "no", "No"),
    bind(&[key(KeyCode::Esc)], Action::No, &[C::Secret, C::QuitHard], "cancel", "Give nothing, go back"),
    bind(&[key(KeyCode::Esc)], Action::No, &[C::Prompt, C::Palette], "back", "Back to what was before"),
    bind(
        &[key(KeyCode::Esc)],
        Action::Aside,
        &[C::Confirm, C::ConfirmTyped],
        "look around first",
        "Put the question aside and look around; the step waits",
    ),
    bind(&[ch('a')], Action::Answer, &[C::Wizard], "answer", "Open the question again"),
    bind(&[ch('n')], Action::Refuse, &[C::Wizard], "no, stop here", "Answer the question with no: stop the run here"),
    bind(&[ch('r')], Action::Retry, &[C::Failed], "retry", "Look at the cluster again and go on from what is seen"),
    bind(&[ch('u')], Action::Undo, &[C::Failed], "undo this step", "Take this step back, then stop; asks once more"),
    bind(&[ch('s')], Action::Stop, &[C::Failed], "stop here", "Stop here and leave things as they are"),
    bind(
        &[ch('i')],
        Action::Skip,
        &[C::Failed],
        "skip it",
        "Skip this step and go on with the next: only where that is safe",
    ),
    bind(&[ch('l')], Action::Read(Panel::Log), &[C::Failed], "log", "Open the log of the run"),
    bind(&[ch('h')], Action::Read(Panel::Journal), &[C::Failed], "journals", "Open the journals of the hosts"),
    bind(
        &[ch('v')],
        Action::Look,
        &[C::Survey, C::Failed, C::Finished],
        "view panels",
        "Look at steps, certificates, masters, etcd, journals and log",
    ),
    bind(&[ch('b')], Action::Look, &[C::Wizard], "back", "Back to the survey, the failed step or the summary"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Start,
        &[C::Survey],
        "go on to the steps",
        "Go on to the steps; nothing is changed before you say yes to a step",
    ),
    bind(
        &[ch('r')],
        Action::LookAgain,
        &[C::Connecting, C::Survey],
        "look again",
        "Connect to what is missing and look at every host again",
    ),
    bind(&[key(KeyCode::Tab)], Action::NextPanel, &[C::Wizard], "panel", "Next panel"),
    bind(&[key(KeyCode::BackTab)], Action::PreviousPanel, &[C::Wizard], "", "Previous panel"),
    bind(&[ch('s')], Action::Focus(Panel::Steps), &[C::Wizard], "", "To the step list"),
    bind(&[ch('d'), key(KeyCode::Enter)], Action::Focus(Panel::Step), &[C::Wizard], "", "To the details of the step"),
    bind(&[ch('e')], Action::Focus(Panel::Etcd), &[C::Wizard], "etcd", "To etcd's members"),
    bind(&[ch('l')], Action::Focus(Panel::Log), &[C::Wizard], "log", "To the log of the run"),
    bind(
        &[ch('h')],
        Action::Focus(Panel::Journal),
        &[C::Wizard],
        "hosts",
        "To the journals of the hosts, merged by time",
    ),
    bind(&[ch('t')], Action::Focus(Panel::Certs), &[C::Wizard], "certs", "To the certificates: on disk, and as served"),
    bind(&[ch('m')], Action::Focus(Panel::Masters), &[C::Wizard], "masters", "To the masters side by side"),
    bind(&[ch('/')], Action::Find, &[C::Wizard], "find", "Find a step; in the journals, find text"),
    bind(&[ch('F')], Action::Filter, &[C::Wizard], "", "Filter the journals: host:NAME unit:NAME words"),
    bind(&[ch('<')], Action::Older, &[C::Wizard], "", "In the journals: the match before"),
    bind(&[ch('>')], Action::Newer, &[C::Wizard], "", "In the journals: the match after"),
    bind(&[ch('p')], Action::Pause, &[C::Wizard], "", "Hold the live panels still, and let them go on"),
    bind(
        &[ch(':'), ctrl('p')],
        Action::Palette,
        SCREENS,
        "palette",
        "Everything there is to do here, by typing part of it",
    ),
    bind(
        &[key(KeyCode::Right)],
        Action::NextSection,
        &[C::Wizard, C::Confirm, C::ConfirmTyped],
        "",
        "Next page of the step: about, commands, changes, undo",
    ),
    bind(
        &[key(KeyCode::Left)],
        Action::PreviousSection,
        &[C::Wizard, C::Confirm, C::ConfirmTyped],
        "",
        "Previous page of the step",
    ),
    bind(&[key(KeyCode::Tab)], Action::NextSection, &[C::Confirm, C::ConfirmTyped], "next page", "Next page"),
    bind(
        &[ch('1')],
        Action::Show(Section::About),
        &[C::Wizard, C::Confirm],
        "",
        "What the step does, why, and what the runbook says",
    ),
    bind(&[ch('2')], Action::Show(Section::Commands), &[C::Wizard, C::Confirm], "", "The exact commands"),
    bind(
        &[ch('3')],
        Action::Show(Section::Changes),
        &[C::Wizard, C::Confirm],
        "",
        "What changes in files and certificates",
    ),
    bind(
        &[ch('4')],
        Action::Show(Section::Undo),
        &[C::Wizard, C::Confirm],
        "",
        "How to get back, until when, at what cost",
    ),
    bind(&[ch('z')], Action::Zoom, &[C::Wizard], "zoom", "The panel on the whole screen, and back"),
    bind(
        &[ch('x')],
        Action::Fold,
        &[C::Wizard, C::Confirm],
        "",
        "Unfold what is folded: unchanged lines of diffs, the rest of a certificate",
    ),
    bind(&[ch('c')], Action::Copy, &[C::Wizard, C::Confirm], "", "Copy the step's commands to the clipboard"),
    bind(&[ch('f')], Action::Along, &[C::Wizard], "", "Follow: select the step that runs, show the end of the log"),
    bind(&[key(KeyCode::Up), ch('k')], Action::Up, PRESSED, "", "Up"),
    bind(&[key(KeyCode::Down), ch('j')], Action::Down, PRESSED, "", "Down"),
    bind(&[key(KeyCode::Up)], Action::Up, &[C::ConfirmTyped, C::Palette], "", "Up"),
    bind(&[key(KeyCode::Down)], Action::Down, &[C::ConfirmTyped, C::Palette], "", "Down"),
    bind(&[key(KeyCode::PageUp)], Action::PageUp, PAGES, "", "A page up"),
    bind(&[key(KeyCode::PageDown)], Action::PageDown, PAGES, "", "A page down"),
    bind(&[key(KeyCode::Home), ch('g')], Action::Top, PRESSED, "", "To the beginning"),
    bind(&[key(KeyCode::End), ch('G')], Action::Bottom, PRESSED, "", "To the end"),
    bind(&[key(KeyCode::Backspace)], Action::Erase, TYPED, "", "Erase the last character"),
    bind(&[ctrl('u')], Action::EraseAll, TYPED, "", "Erase all"),
    bind(
        &[ch('?')],
        Action::Help,
        &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo],
        "help",
        "The keys that hold here",
    ),
    bind(&[ch('?'), key(KeyCode::Esc), ch('q')], Action::Close, &[C::Help], "close", "Close the help"),
    bind(
        &[ch('q'), ctrl('c')],
        Action::Quit,
        &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo, C::HostKey],
        "leave",
        "Leave; asks while something runs or waits",
    ),
    bind(
        &[ctrl('c')],
        Action::Quit,
        &[C::ConfirmTyped, C::Secret, C::TakeOver, C::Help],
        "",
        "Leave; asks while something runs or waits",
    ),
    bind(&[ctrl('c')], Action::No, &[C::Quit, C::QuitHard], "", "Don't leave"),
    bind(&[ctrl('c')], Action::No, &[C::Prompt, C::Palette], "", "Back to what was before"),
];

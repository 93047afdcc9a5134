//! Training on the screen: a question before a step, and a drill with its pages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    keys::Action,
    message::{DrillMsg, DrillWish, Effect},
    model::{Model, Phase},
};
use crate::{
    remote::clean,
    training::{
        drill::Drill,
        quiz::{self, Facts, Posed},
    },
};

/// What a drill begins with.
const POINTS: usize = 100;

/// What a hint costs.
pub const HINT: usize = 10;

/// What a wrong name, or a deed that cures nothing, costs.
pub const WRONG: usize = 15;

/// So many wrong names, and the right one is told.
const TRIES: usize = 2;

/// Longest line that is taken while a file is edited.
const LINE: usize = 2000;

/// What is trained, if anything.
#[derive(Debug, Clone, Default)]
pub struct Training {
    /// Questions before steps.
    pub walk: Option<Walk>,
    /// An accident to find.
    pub drill: Option<Box<Run>>,
}

/// A guided walk.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// How often each question was asked.
    pub asked: BTreeMap<String, u32>,
    /// Answered right.
    pub right: u32,
    /// Answered at all.
    pub answered: u32,
    /// The question on screen.
    pub open: Option<Predict>,
}

/// A question on screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predict {
    pub posed: Posed,
    /// The answer, once there is one.
    pub chosen: Option<usize>,
}

/// A page of the drill's dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Menu,
    Name,
    Repair,
    Files,
    File,
    Debrief,
}

/// A drill that runs.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own; no two make a state together")]
pub struct Run {
    pub drill: Arc<Drill>,
    /// Causes and repairs in the order shown.
    pub causes: Vec<usize>,
    pub repairs: Vec<usize>,
    /// The page on screen; `None` while the panels are looked at.
    pub page: Option<Page>,
    pub began: Duration,
    /// When it was cured or given up.
    pub ended: Option<Duration>,
    pub hints: usize,
    pub wrong_names: usize,
    pub wrong_repairs: usize,
    pub named: bool,
    pub given_up: bool,
    /// Something is being done about it now.
    pub working: bool,
    /// How the last deed went.
    pub said: Option<String>,
    pub file: Option<OpenFile>,
    /// Files were changed by hand.
    pub edited: bool,
    /// Where the files lie for another terminal.
    pub outside: Option<String>,
}

/// A file of a practice host that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Index into the drill's files.
    pub at: usize,
    pub lines: Vec<String>,
    /// Whether the last line ends like the others.
    pub line_end: bool,
    pub selected: usize,
    /// The line being typed, and the cursor in it, in characters.
    pub typing: Option<(String, usize)>,
}

impl Run {
    fn new(drill: Arc<Drill>, now: Duration) -> Self {
        let order = |count: usize, salt: &str| {
            let mut all: Vec<usize> = (0..count).collect();
            // The right one stands first in the data; on screen it stands anywhere, always in the same place.
            let seed = drill.name.bytes().chain(salt.bytes()).fold(5_usize, |h, b| h * 33 % 9973 + usize::from(b));
            if count > 0 {
                all.rotate_left(seed % count);
            }
            all
        };
        Self {
            causes: order(drill.causes.len(), "cause"),
            repairs: order(drill.repairs.len(), "repairs"),
            drill,
            page: Some(Page::Menu),
            began: now,
            ended: None,
            hints: 0,
            wrong_names: 0,
            wrong_repairs: 0,
            named: false,
            given_up: false,
            working: false,
            said: None,
            file: None,
            edited: false,
            outside: None,
        }
    }

    /// What is left of the points.
    pub fn points(&self) -> usize {
        if self.given_up {
            return 0;
        }
        POINTS.saturating_sub(self.hints * HINT + (self.wrong_names + self.wrong_repairs) * WRONG)
    }

    /// How long it took, or takes.
    pub fn time(&self, now: Duration) -> Duration {
        self.ended.unwrap_or(now).saturating_sub(self.began)
    }

    /// Whether the cause may be told: it was named, told, or given up.
    pub fn open(&self) -> bool {
        self.named || self.given_up || self.wrong_names >= TRIES || self.ended.is_some()
    }
}

impl Model {
    /// With questions before the steps.
    #[must_use]
    pub fn guided(mut self) -> Self {
        self.training.walk = Some(Walk::default());
        self
    }

    /// With an accident to find.
    #[must_use]
    pub fn with_drill(mut self, drill: Arc<Drill>) -> Self {
        self.training.drill = Some(Box::new(Run::new(drill, self.now.at)));
        self
    }

    /// Whether what the survey found is held back: finding it is the drill. Who has taken every hint reads it.
    pub(super) fn holds_back(&self) -> bool {
        self.training.drill.as_ref().is_some_and(|d| !d.open() && d.hints < d.drill.hints.len())
    }

    /// The drill's page on screen.
    pub(super) fn drill_page(&self) -> Option<(&Run, Page)> {
        let run = self.training.drill.as_deref()?;
        Some((run, run.page?))
    }

    /// The question on screen, while the step it goes with is asked about.
    pub(super) fn predicting(&self) -> Option<&Predict> {
        self.asking.as_ref().filter(|a| !a.hidden)?;
        self.training.walk.as_ref()?.open.as_ref()
    }
}

/// A step is about to be asked about: is there a question for it?
pub fn pose(model: &mut Model) {
    let Some(asking) = &model.asking else { return };
    let Some(walk) = &model.training.walk else { return };
    let titles: Vec<String> = model.steps.iter().map(|s| s.info.title.clone()).collect();
    let at = model.steps.iter().position(|s| s.info.id == asking.request.step).unwrap_or(0);
    let facts = Facts {
        cluster: &model.cluster,
        etcd: model.etcd.last.as_ref().map(|(m, _)| m),
        step: &asking.request.step,
        plan: &asking.request.plan,
        steps: &titles,
        at,
    };
    let posed = quiz::pick(&facts, &walk.asked);
    if let Some(walk) = &mut model.training.walk {
        if let Some(posed) = &posed {
            *walk.asked.entry(posed.id.clone()).or_default() += 1;
        }
        walk.open = posed.map(|posed| Predict { posed, chosen: None });
    }
}

/// A key on the question before a step.
pub fn predict(model: &mut Model, action: Action) {
    let Some(walk) = &mut model.training.walk else { return };
    let Some(open) = &mut walk.open else { return };
    match action {
        Action::Choose(n) if open.chosen.is_none() && n < open.posed.choices.len() => {
            open.chosen = Some(n);
            walk.answered += 1;
            walk.right += u32::from(n == open.posed.right);
        }
        Action::GoOn if open.chosen.is_some() => walk.open = None,
        // Left out: not counted.
        Action::No => walk.open = None,
        _ => {}
    }
}

/// A key in the drill's dialog, or the one that opens it.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let now = model.now.at;
    let Some(run) = model.training.drill.as_deref_mut() else { return Vec::new() };
    match (action, run.page) {
        (Action::Drill, None) => run.page = Some(if run.ended.is_some() { Page::Debrief } else { Page::Menu }),
        (Action::Drill | Action::No, Some(Page::Menu | Page::Debrief)) => run.page = None,
        (Action::No, Some(Page::File)) => {
            run.file = None;
            run.page = Some(Page::Files);
        }
        (Action::No, Some(_)) => run.page = Some(Page::Menu),
        (Action::Choose(n), Some(Page::Menu)) => menu(run, n, now),
        (Action::Choose(n), Some(Page::Name)) => name(run, n),
        (Action::Choose(n), Some(Page::Repair)) => {
            if let Some(at) = run.repairs.get(n).copied().filter(|_| !run.working) {
                run.working = true;
                run.said = None;
                return vec![Effect::Drill(DrillWish::Repair(at))];
            }
        }
        (Action::Choose(n), Some(Page::Files)) if n < run.drill.files.len() => {
            return vec![Effect::Drill(DrillWish::Open(n))];
        }
        (Action::EditLine, Some(Page::File)) => {
            if let Some(file) = &mut run.file {
                let line = file.lines.get(file.selected).cloned().unwrap_or_default();
                let end = line.chars().count();
                file.typing = Some((line, end));
            }
        }
        (Action::DropLine, Some(Page::File)) => return drop_line(run),
        (Action::LineEnd, Some(Page::File)) => {
            if let Some(file) = &mut run.file {
                file.line_end = !file.line_end;
            }
            return save(run);
        }
        _ => {}
    }
    model.scroll.dialog = 0;
    Vec::new()
}

fn menu(run: &mut Run, n: usize, now: Duration) {
    run.said = None;
    match n {
        0 if !run.open() => run.page = Some(Page::Name),
        1 if run.open() => run.page = Some(Page::Repair),
        2 if run.hints < run.drill.hints.len() => run.hints += 1,
        3 if !run.drill.files.is_empty() => run.page = Some(Page::Files),
        4 => {
            run.given_up = run.ended.is_none();
            run.ended.get_or_insert(now);
            run.page = Some(Page::Debrief);
        }
        _ => {}
    }
}

fn name(run: &mut Run, n: usize) {
    let Some(cause) = run.causes.get(n) else { return };
    run.page = Some(Page::Menu);
    if *cause == 0 {
        run.named = true;
        run.said = Some(tr!("Right, that is the fault. Now repair it."));
    } else {
        run.wrong_names += 1;
        run.said = Some(if run.open() {
            let told = run.drill.causes.first().map(|w| w.get().trim().to_owned()).unwrap_or_default();
            tr!("That is not it either. It is this: {cause}", cause = told)
        } else {
            tr!("That is not it: what you see would look different. Look again.")
        });
    }
}

fn drop_line(run: &mut Run) -> Vec<Effect> {
    let Some(file) = &mut run.file else { return Vec::new() };
    if file.selected < file.lines.len() {
        file.lines.remove(file.selected);
        file.selected = file.selected.min(file.lines.len().saturating_sub(1));
    }
    save(run)
}

fn save(run: &mut Run) -> Vec<Effect> {
    let Some(file) = &run.file else { return Vec::new() };
    run.edited = true;
    run.working = true;
    let text = file.lines.join("\n") + if file.line_end { "\n" } else { "" };
    vec![Effect::Drill(DrillWish::Save { file: file.at, text })]
}

/// Moves in an open file.
pub fn select_line(model: &mut Model, action: Action) {
    let Some(file) = model.training.drill.as_deref_mut().and_then(|r| r.file.as_mut()) else { return };
    let last = file.lines.len().saturating_sub(1);
    file.selected = match action {
        Action::Up => file.selected.saturating_sub(1),
        Action::Down => file.selected + 1,
        Action::PageUp => file.selected.saturating_sub(8),
        Action::PageDown => file.selected + 8,
        Action::Top => 0,
        _ => last,
    }
    .min(last);
}

/// The line being typed.
fn typing(model: &mut Model) -> Option<&mut (String, usize)> {
    model.training.drill.as_deref_mut()?.file.as_mut()?.typing.as_mut()
}

/// A character into the line being typed.
pub fn type_char(model: &mut Model, c: char) {
    let Some((line, at)) = typing(model) else { return };
    if line.chars().count() < LINE {
        let byte = line.char_indices().nth(*at).map_or(line.len(), |(i, _)| i);
        line.insert(byte, c);
        *at += 1;
    }
}

/// A key in the line being typed.
pub fn line(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Submit => {
            let Some(run) = model.training.drill.as_deref_mut() else { return Vec::new() };
            let Some(file) = &mut run.file else { return Vec::new() };
            if let Some((line, _)) = file.typing.take() {
                match file.lines.get_mut(file.selected) {
                    Some(old) => *old = line,
                    None => file.lines.push(line),
                }
            }
            return save(run);
        }
        Action::No => {
            if let Some(file) = model.training.drill.as_deref_mut().and_then(|r| r.file.as_mut()) {
                file.typing = None;
            }
        }
        Action::Erase => {
            if let Some((line, at)) = typing(model).filter(|(_, at)| *at > 0) {
                let byte = line.char_indices().nth(*at - 1).map_or(0, |(i, _)| i);
                line.remove(byte);
                *at -= 1;
            }
        }
        Action::EraseAll => {
            if let Some((line, at)) = typing(model) {
                line.clear();
                *at = 0;
            }
        }
        Action::Left => {
            if let Some((_, at)) = typing(model) {
                *at = at.saturating_sub(1);
            }
        }
        Action::Right => {
            if let Some((line, at)) = typing(model) {
                *at = (*at + 1).min(line.chars().count());
            }
        }
        _ => {}
    }
    Vec::new()
}

/// What came of a wish.
pub fn told(model: &mut Model, msg: DrillMsg) {
    let now = model.now.at;
    let Some(run) = model.training.drill.as_deref_mut() else { return };
    match msg {
        DrillMsg::File { at, text } => match text {
            Ok(text) => {
                let lines = text.lines().map(clean::line).collect();
                run.file = Some(OpenFile { at, lines, line_end: text.ends_with('\n'), selected: 0, typing: None });
                run.page = Some(Page::File);
            }
            Err(why) => run.said = Some(clean::line(&why)),
        },
        DrillMsg::Changed { at, text } => {
            // Who types into it goes on with what they see.
            if let Some(file) = run.file.as_mut().filter(|f| f.at == at && f.typing.is_none()) {
                file.lines = text.lines().map(clean::line).collect();
                file.line_end = text.ends_with('\n');
                file.selected = file.selected.min(file.lines.len().saturating_sub(1));
            }
        }
        DrillMsg::Outside(dir) => run.outside = Some(clean::line(&dir)),
        DrillMsg::Done { repair, refused, cured } => {
            run.working = false;
            run.edited |= repair.is_none();
            let right = repair.is_none_or(|at| run.drill.repairs.get(at).is_some_and(|r| r.right));
            if cured && run.ended.is_none() {
                run.ended = Some(now);
                run.said = None;
                run.file = None;
                run.page = Some(Page::Debrief);
            } else if run.ended.is_none() {
                if !right && !run.edited {
                    run.wrong_repairs += 1;
                }
                run.said = Some(match refused {
                    Some(why) => tr!("Refused: {why}", why = clean::line(&why)),
                    None if repair.is_none() => {
                        tr!("Saved. Nothing is cured yet: what runs may have to read the file again.")
                    }
                    None => tr!("Done, and the fault is still there."),
                });
                if repair.is_some() {
                    run.page = Some(Page::Menu);
                }
            }
        }
    }
    // The debrief is worth seeing wherever one looks.
    if model.training.drill.as_ref().is_some_and(|r| r.page == Some(Page::Debrief)) && model.phase == Phase::Connecting
    {
        model.phase = Phase::Survey;
    }
    model.scroll.dialog = 0;
}

/// One line for the shell: how the training went.
pub fn farewell(model: &Model) -> Option<String> {
    if let Some(run) = &model.training.drill {
        let (points, time) = (run.points(), super::text::duration(run.time(model.now.at)));
        let (name, hints, wrong) = (&run.drill.name, run.hints, run.wrong_names + run.wrong_repairs);
        return Some(match run.ended {
            Some(_) if !run.given_up => tr!(
                "Drill {name}: cured in {time}, {points} points ({hints} hints, {wrong} wrong tries)",
                name = name,
                time = time,
                points = points,
                hints = hints,
                wrong = wrong
            ),
            _ => tr!("Drill {name}: not cured", name = name),
        });
    }
    let walk = model.training.walk.as_ref()?;
    Some(tr!("Guided walk: {right} of {answered} predictions right", right = walk.right, answered = walk.answered))
}

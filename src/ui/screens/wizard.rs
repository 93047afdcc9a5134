//! The wizard: steps, the selected step, etcd, log. Certificates and masters take the step's place when they are looked
//! at, the journals of the hosts the log's.
//!
//! ```text
//!  small (80×24)            tall               wide (120×36)            very wide (180×36)
//! ┌───────────────┐   ┌───────────────┐   ┌───────┬────────────┐   ┌──────┬─────────┬────────┐
//! │ steps         │   │ steps         │   │ steps │ step       │   │steps │ step    │ etcd   │
//! ├───────────────┤   ├───────────────┤   │       ├────────────┤   │      │         ├────────┤
//! │ step, etcd or │   │ step          │   │       │ etcd       │   │      │         │ log    │
//! │ log: the one  │   ├───────────────┤   │       ├────────────┤   │      │         │        │
//! │ looked at last│   │ etcd, log     │   │       │ log        │   │      │         │        │
//! └───────────────┘   └───────────────┘   └───────┴────────────┘   └──────┴─────────┴────────┘
//! ```

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
};

use crate::ui::{
    draw::vertical,
    model::{Model, Panel, Section},
    panels,
};

/// Columns of the step list where it stands at the side.
const LIST: u16 = 40;

/// Draws the panels.
pub fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    for x in separators(model, body) {
        vertical(Rect { x, width: 1, ..body }, buf);
    }
    for (panel, area) in areas(model, body) {
        match panel {
            Panel::Steps => panels::steps::draw(model, area, buf),
            Panel::Step if area.height >= TALL && !model.zoom && model.section != Section::Commands => {
                let [step, commands] = split_step(area);
                panels::step::draw(model, step, buf);
                panels::step::draw_commands(model, commands, buf);
            }
            Panel::Step => panels::step::draw(model, area, buf),
            Panel::Etcd => panels::etcd::draw(model, area, buf),
            Panel::Log => panels::log::draw(model, area, buf),
            Panel::Journal => panels::journal::draw(model, area, buf),
            Panel::Certs => panels::certs::draw(model, area, buf),
            Panel::Masters => panels::masters::draw(model, area, buf),
            Panel::Nodes => panels::nodes::draw(model, area, buf),
        }
    }
}

/// The area inside a panel, below its title; empty when it isn't shown.
pub fn panel_area(model: &Model, panel: Panel, body: Rect) -> Rect {
    let mut area = areas(model, body).into_iter().find(|(p, _)| *p == panel).map(|(_, a)| a).unwrap_or_default();
    if panel == Panel::Step && area.height >= TALL && !model.zoom && model.section != Section::Commands {
        [area, _] = split_step(area);
    }
    Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area }
}

/// A step panel this high has place for its commands below whatever else of it is shown.
const TALL: u16 = 44;

fn split_step(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
}

/// Rows etcd's panel wants: title, head, members, history, and what is wrong.
fn etcd_rows(model: &Model) -> u16 {
    let rows = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let (members, wrong) = model.etcd_shown().last.as_ref().map_or((3, 0), |(m, _)| {
        (m.members.len(), m.alarms.len() + m.members.iter().filter(|m| m.status.is_err()).count())
    });
    rows(members).clamp(3, 9) + rows(wrong).min(4) + 5
}

/// Which panels are shown, and where.
fn areas(model: &Model, body: Rect) -> Vec<(Panel, Rect)> {
    use Constraint::{Fill, Length};
    if model.zoom {
        return vec![(model.focus, body)];
    }
    if body.width < 120 {
        let list = (body.height / 3).clamp(7, 16);
        if body.height < 34 {
            let [steps, main] = Layout::vertical([Length(list), Fill(1)]).areas(body);
            return vec![(Panel::Steps, steps), (model.main, main)];
        }
        let [steps, step, etcd, log] =
            Layout::vertical([Length(list), Fill(3), Length(etcd_rows(model)), Fill(1)]).areas(body);
        return vec![(Panel::Steps, steps), (model.upper, step), (Panel::Etcd, etcd), (model.lower, log)];
    }
    let [steps, _, rest] = Layout::horizontal([Length(LIST), Length(1), Fill(1)]).areas(body);
    if body.height < 30 {
        return vec![(Panel::Steps, steps), (model.main, rest)];
    }
    if body.width < 180 {
        let [step, etcd, log] = Layout::vertical([Fill(3), Length(etcd_rows(model)), Fill(2)]).areas(rest);
        return vec![(Panel::Steps, steps), (model.upper, step), (Panel::Etcd, etcd), (model.lower, log)];
    }
    let [step, _, right] = Layout::horizontal([Fill(1), Length(1), Length(78)]).areas(rest);
    let [etcd, log] = Layout::vertical([Length(etcd_rows(model) + 2), Fill(1)]).areas(right);
    vec![(Panel::Steps, steps), (model.upper, step), (Panel::Etcd, etcd), (model.lower, log)]
}

/// Columns of the vertical rules.
fn separators(model: &Model, body: Rect) -> Vec<u16> {
    match body.width {
        _ if model.zoom => vec![],
        0..120 => vec![],
        180.. if body.height >= 30 => vec![body.x + LIST, body.right() - 79],
        _ => vec![body.x + LIST],
    }
}

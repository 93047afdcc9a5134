//! Every key of the table, in every context it holds in, does what the table says.

use banister::{
    engine::{Event, Risk, confirm::Choice, event::Outcome},
    ui::{
        Answer, Effect, Model, Msg, Panel, Phase, Section, Theme,
        keys::{Action, Context, TABLE, find},
        update,
    },
};

use crate::{
    fixtures::{asked, ch, failed, feed, fresh, join, key, now, scene},
    screens::{draw, text},
};
use crossterm::event::KeyCode;

const SIZE: (u16, u16) = (80, 24);

/// A model in which the keys of a context hold, and in which each of them has something to do.
fn model(context: Context, action: Action) -> Model {
    if let Some(mut model) = crate::training::at(context, action) {
        feed(&mut model, [Msg::Tick(now(70_000))]);
        return model;
    }
    let name = match (context, action) {
        (Context::Welcome, _) => unreachable!("a model of its own: welcome.rs"),
        (Context::Connecting, _) => "connecting-failed",
        (Context::Survey, Action::Start) => "survey-warnings",
        (Context::Survey, _) => "survey-blocked",
        (Context::Wizard, Action::Answer | Action::Refuse) => "wizard-aside",
        (Context::Wizard, Action::Along) => "wizard-log",
        (Context::Wizard, Action::Older | Action::Newer) => "live-journal",
        (Context::Failed, Action::Skip) => "failed-skippable",
        (Context::Wizard, Action::Focus(Panel::Journal | Panel::Certs | Panel::Masters | Panel::Nodes))
        | (Context::Prompt, _) => "live-find",
        (Context::Wizard, _) => "wizard-commands",
        (Context::Failed, _) => "failed",
        (Context::Finished, Action::Look | Action::Quit | Action::Help) => "finished",
        (Context::Finished, _) => "finished-stopped",
        (Context::Confirm, _) => "confirm-disruptive",
        (Context::ConfirmTyped, _) => "confirm-irreversible",
        (Context::Undo, _) => "failed-undo",
        (Context::HostKey, _) => "connecting-host-key",
        (Context::TakeOver, _) => "take-over",
        (Context::Secret, _) => "connecting-secret",
        (Context::Quit, _) => "quit-running",
        (Context::QuitHard, _) => "quit-stopping",
        (Context::Help, _) => "help",
        (Context::Palette, _) => "live-palette",
        (Context::Predict | Context::Drill | Context::File | Context::Line, _) => unreachable!("see training"),
    };
    let mut model = scene(name, SIZE, Theme::default());
    let m = &mut model;
    match action {
        Action::Older | Action::Newer => feed(m, "/range\r".chars().map(typed)),
        Action::Focus(Panel::Journal | Panel::Certs | Panel::Masters | Panel::Nodes) => feed(m, [key(KeyCode::Esc)]),
        Action::Submit if context == Context::Prompt => {}
        // Something to come back from, to go up from, to type to the end of.
        Action::Look if context == Context::Wizard => {
            feed(m, [Msg::Engine(Event::Failed(crate::fixtures::failure())), ch('v')]);
        }
        Action::Up | Action::PageUp | Action::Top => feed(m, [key(KeyCode::Down), key(KeyCode::Down)]),
        Action::Focus(Panel::Step) => feed(m, [ch('s')]),
        Action::Show(Section::Commands) | Action::PreviousSection if context == Context::Wizard => feed(m, [ch('3')]),
        Action::Show(Section::About) => feed(m, [ch('4')]),
        Action::Fold => feed(m, [ch('3'), key(KeyCode::End)]),
        Action::Submit if context == Context::ConfirmTyped => feed(m, "er04".chars().map(ch)),
        Action::Submit if context == Context::QuitHard => feed(m, "ave".chars().map(ch)),
        _ => {}
    }
    if action == Action::Newer {
        feed(m, [ch('<')]);
    }
    // Small enough that every page has something to scroll to, where the scene itself is short.
    if context == Context::Failed && is_scroll(action) {
        let mut long = crate::fixtures::failure();
        long.output = (0..40).map(|i| format!("line {i}")).collect();
        feed(m, [Msg::Engine(Event::Failed(long)), key(KeyCode::Down), key(KeyCode::Down)]);
    }
    if context == Context::Undo && is_scroll(action) {
        let mut long = crate::fixtures::failure();
        if let Some(undo) = &mut long.undo {
            undo.acts = undo.acts.iter().cycle().take(20).cloned().collect();
        }
        feed(m, [Msg::Engine(Event::Failed(long)), ch('u'), key(KeyCode::Down), key(KeyCode::Down)]);
    }
    if context == Context::Connecting && is_scroll(action) {
        let why = "a long story of why this host cannot be used ".repeat(30);
        for name in ["master01", "master02"] {
            let state = banister::ui::ConnectState::Failed(why.clone());
            feed(m, [Msg::Connect(crate::fixtures::host(name), state)]);
        }
        feed(m, [key(KeyCode::Down), key(KeyCode::Down)]);
    }
    feed(m, [Msg::Tick(now(70_000))]);
    model
}

/// A character, or Enter.
fn typed(c: char) -> Msg {
    if c == '\r' { key(KeyCode::Enter) } else { ch(c) }
}

fn is_scroll(action: Action) -> bool {
    matches!(action, Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::Top | Action::Bottom)
}

/// What an action must ask for; an empty list where it only changes what is seen.
fn expected(context: Context, action: Action) -> Vec<Effect> {
    let stop = || vec![Effect::Answer(Answer::Stop { step: join() })];
    match (action, context) {
        (Action::Yes, Context::Confirm) => vec![Effect::Answer(Answer::Go { step: join(), typed: String::new() })],
        (Action::Yes, Context::Undo) => vec![Effect::Choose(Choice::Undo)],
        (Action::Yes, Context::HostKey) => vec![Effect::AcceptHostKey { id: 1, yes: true }],
        (Action::Yes, Context::Quit) => vec![Effect::StopSoon],
        (Action::Submit, Context::ConfirmTyped) => {
            vec![Effect::Answer(Answer::Go { step: join(), typed: "master04".into() })]
        }
        (Action::Refuse, _) => stop(),
        (Action::No, Context::HostKey) => vec![Effect::AcceptHostKey { id: 1, yes: false }],
        (Action::Yes, Context::TakeOver) => vec![Effect::TakeOver { id: 3, yes: true }],
        (Action::No, Context::TakeOver) => vec![Effect::TakeOver { id: 3, yes: false }],
        (Action::No, Context::Secret) => vec![Effect::Secret { id: 2, secret: None }],
        (Action::Retry, _) => vec![Effect::Choose(Choice::Retry)],
        (Action::Stop, _) => vec![Effect::Choose(Choice::Stop)],
        (Action::Skip, _) => vec![Effect::Choose(Choice::Skip)],
        (Action::Start, _) => vec![Effect::Start],
        (Action::LookAgain, _) => vec![Effect::LookAgain],
        (Action::Submit, Context::QuitHard)
        | (Action::Quit, Context::Connecting | Context::Survey | Context::Finished | Context::Drill | Context::File) => {
            vec![Effect::Quit]
        }
        (Action::Quit, Context::HostKey) => vec![Effect::AcceptHostKey { id: 1, yes: false }, Effect::Quit],
        (Action::Quit, Context::Secret) => vec![Effect::Secret { id: 2, secret: None }, Effect::Quit],
        _ => Vec::new(),
    }
}

#[test]
fn every_key_of_the_table_does_something_in_every_context_it_holds_in() {
    for binding in TABLE {
        for &context in binding.contexts.iter().filter(|c| **c != Context::Welcome) {
            for k in binding.keys {
                let label = format!("{} ({:?}) in {context:?}", k.name(), binding.action);
                let mut model = model(context, binding.action);
                assert_eq!(model.context(), context, "{label}: the fixture is another screen");
                assert!(
                    find(context, &k.event()).is_some_and(|b| b.action == binding.action),
                    "{label}: shadowed by another line of the table"
                );
                let before = draw(&model, SIZE);
                let effects = update(&mut model, Msg::Key(k.event()));
                let changed = draw(&model, SIZE) != before;
                match (binding.action, context) {
                    (Action::Copy, _) => {
                        assert!(
                            matches!(effects.as_slice(), [Effect::Copy(c)] if c.contains("systemctl enable --now etcd")),
                            "{label}: {effects:?}"
                        );
                    }
                    (Action::Submit, Context::Line) | (Action::DropLine | Action::LineEnd, _) => {
                        assert!(matches!(effects.as_slice(), [Effect::Drill(_)]), "{label}: {effects:?}");
                    }
                    (Action::Submit, Context::Secret) => {
                        assert!(matches!(effects.as_slice(), [Effect::Secret { id: 2, secret: Some(_) }]), "{label}");
                    }
                    _ => assert_eq!(effects, expected(context, binding.action), "{label}"),
                }
                assert!(changed || !effects.is_empty(), "{label}: nothing happened\n{}", text(&before));
            }
        }
    }
}

#[test]
fn what_moves_shows_other_lines() {
    for (name, keys) in [
        ("wizard-commands", [KeyCode::Down, KeyCode::PageDown, KeyCode::End]),
        ("confirm-disruptive", [KeyCode::Down, KeyCode::PageDown, KeyCode::End]),
        ("survey-blocked", [KeyCode::Down, KeyCode::PageDown, KeyCode::End]),
        ("help", [KeyCode::Down, KeyCode::PageDown, KeyCode::End]),
    ] {
        for k in keys {
            let mut model = scene(name, SIZE, Theme::default());
            let before = text(&draw(&model, SIZE));
            feed(&mut model, [key(k)]);
            assert_ne!(text(&draw(&model, SIZE)), before, "{name} {k}");
            // And back: what was scrolled past the end is not owed on the way up.
            feed(&mut model, [key(k), key(k), key(KeyCode::Home)]);
            assert_eq!(text(&draw(&model, SIZE)), before, "{name} {k} and back");
        }
    }
}

#[test]
fn scrolling_past_the_end_owes_nothing_on_the_way_back() {
    let mut model = scene("survey-blocked", SIZE, Theme::default());
    feed(&mut model, [key(KeyCode::End)]);
    let end = text(&draw(&model, SIZE));
    feed(&mut model, (0..50).map(|_| key(KeyCode::Down)));
    assert_eq!(text(&draw(&model, SIZE)), end);
    feed(&mut model, [key(KeyCode::Up)]);
    assert_ne!(text(&draw(&model, SIZE)), end);
}

#[test]
fn every_page_and_panel_is_reached_by_its_key() {
    let see = |keys: &[char], expected: &str| {
        let mut model = scene("wizard-running", SIZE, Theme::default());
        feed(&mut model, keys.iter().map(|c| ch(*c)));
        let shown = text(&draw(&model, SIZE));
        assert!(shown.contains(expected), "{keys:?}: {expected}\n{shown}");
    };
    see(&['1'], "If one member dies now");
    see(&['2'], "etcd API: MemberAdd");
    see(&['3'], "+ added     10.10.33.40  10.10.33.41");
    see(&['4'], "rm -rf -- /var/lib/etcd/member");
    see(&['e'], "latency");
    see(&['l'], "confirmed by operator");
    see(&['l', 'd'], "[1 about]");
    see(&['s', 'g'], "1 backup");
    see(&['t'], " Certificates ");
    see(&['m'], "Masters side by side");
    see(&['h'], "Journals of the hosts");
    see(&['3', 'z', 'x'], "# line 1 of the file as it is");
}

#[test]
fn the_footer_and_the_help_come_from_the_table() {
    let idle = text(&draw(&scene("wizard-running", SIZE, Theme::default()), SIZE));
    let footer = idle.lines().last().unwrap_or_default();
    assert!(footer.contains("Tab panel") && footer.contains("? help") && footer.contains("q leave"), "{footer}");
    assert!(!footer.contains("a answer"), "nothing is asked: {footer}");
    let mut model = scene("help", (80, 24), Theme::default());
    let mut all = String::new();
    for _ in 0..12 {
        all += &text(&draw(&model, SIZE));
        feed(&mut model, [key(KeyCode::PageDown)]);
    }
    // Where nothing is trained there is no drill.
    let shown = |b: &&banister::ui::keys::Binding| b.contexts.contains(&Context::Wizard) && b.action != Action::Drill;
    for binding in TABLE.iter().filter(shown) {
        assert!(all.contains(&binding.does[..binding.does.len().min(40)]), "{} is missing in the help", binding.does);
    }
}

#[test]
fn looking_at_the_run_and_back_keeps_the_choice_open() {
    let mut model = fresh(SIZE, Theme::default());
    failed(&mut model);
    feed(&mut model, [ch('v')]);
    assert_eq!(model.phase(), Phase::Wizard);
    assert_eq!(update(&mut model, ch('r')), [], "r means nothing there");
    feed(&mut model, [ch('b')]);
    assert_eq!(update(&mut model, ch('r')), [Effect::Choose(Choice::Retry)]);
}

#[test]
fn the_selection_follows_the_run_until_one_reads_elsewhere() {
    let mut model = scene("wizard-running", SIZE, Theme::default());
    feed(&mut model, [key(KeyCode::Up), key(KeyCode::Up)]);
    let elsewhere = text(&draw(&model, SIZE));
    assert!(elsewhere.contains("─ Roll certificates out to master01 ─"), "{elsewhere}");
    feed(&mut model, [Msg::Engine(Event::State(join(), banister::engine::event::StepState::Verifying))]);
    assert!(text(&draw(&model, SIZE)).contains("─ Roll certificates out to master01 ─"));
    feed(&mut model, [ch('f')]);
    assert!(text(&draw(&model, SIZE)).contains("─ Join master04 ─"));
}

#[test]
fn the_outcome_is_known_to_the_program() {
    let mut model = fresh(SIZE, Theme::default());
    asked(&mut model, Risk::Reversible);
    assert_eq!(model.outcome(), None);
    feed(&mut model, [Msg::Engine(Event::Finished(Outcome::Stopped, "by you".into()))]);
    assert_eq!(model.outcome(), Some(Outcome::Stopped));
    assert_eq!(model.farewell().as_deref(), Some("STOPPED: by you"));
}

#[test]
fn a_step_is_found_by_part_of_its_name_and_esc_goes_back() {
    let mut model = scene("wizard-running", SIZE, Theme::default());
    let title =
        |m: &Model| text(&draw(m, SIZE)).lines().filter(|l| l.starts_with('─')).nth(1).unwrap_or_default().to_owned();
    feed(&mut model, "/rollout".chars().map(typed));
    assert!(title(&model).contains("Roll certificates out to master01"), "{}", title(&model));
    feed(&mut model, [key(KeyCode::Esc)]);
    assert!(title(&model).contains("Join master04"), "{}", title(&model));
    feed(&mut model, "/rollout\r".chars().map(typed));
    assert!(title(&model).contains("Roll certificates out to master01"));
    feed(&mut model, "/no such thing\r".chars().map(typed));
    assert!(text(&draw(&model, SIZE)).contains("no step has “no such thing” in it"));
}

#[test]
fn the_palette_offers_what_holds_here_and_never_what_decides() {
    let mut model = scene("failed", SIZE, Theme::default());
    let mut all = String::new();
    feed(&mut model, [ch(':')]);
    for _ in 0..30 {
        all += &text(&draw(&model, SIZE));
        feed(&mut model, [key(KeyCode::Down)]);
    }
    assert!(all.contains("Open the log of the run") && all.contains("The keys that hold here"), "{all}");
    for decides in ["Look at the cluster again", "Take this step back", "Skip this step", "leave things as they are"] {
        let offered = all.lines().any(|l| l.contains('│') && l.contains(decides) && !l.contains("same command"));
        assert!(!offered, "{decides}\n{all}");
    }
    // Typed, chosen, done.
    let mut model = scene("wizard-running", SIZE, Theme::default());
    feed(&mut model, ":certif disk\r".chars().map(typed));
    assert!(text(&draw(&model, SIZE)).contains(" Certificates "), "{}", text(&draw(&model, SIZE)));
}

#[test]
fn a_filter_holds_lines_back_as_it_is_typed_and_esc_takes_it_back() {
    let mut model = scene("live-journal", SIZE, Theme::default());
    let hosts = |m: &Model| {
        let shown = text(&draw(m, SIZE));
        // A line of a journal begins with its time; a step's title may name a host too.
        let lines = || shown.lines().filter(|l| l.trim_start().starts_with("03:15:"));
        ["master01", "master02"].map(|h| lines().filter(|l| l.contains(&format!(" {h} "))).count())
    };
    feed(&mut model, "Fhost:master02".chars().map(typed));
    let [first, second] = hosts(&model);
    assert!(first == 0 && second > 1, "{}", text(&draw(&model, SIZE)));
    feed(&mut model, [key(KeyCode::Esc)]);
    assert!(hosts(&model)[0] > 0);
    feed(&mut model, "Fnothing has this\r".chars().map(typed));
    assert!(text(&draw(&model, SIZE)).contains("no line passes the filter; F changes it"));
}

#[test]
fn paused_panels_stand_still_while_the_quorum_line_goes_on() {
    let mut model = scene("live-paused", (120, 40), Theme::default());
    let held = text(&draw(&model, (120, 40)));
    assert!(held.contains("PAUSED") && held.contains("survives 0"), "{held}");
    assert!(!held.contains("no answer"), "{held}");
    feed(&mut model, [ch('p')]);
    let live = text(&draw(&model, (120, 40)));
    assert!(!live.contains("PAUSED") && live.contains("no answer"), "{live}");
}

#[test]
fn panels_can_be_looked_at_from_the_survey_and_nothing_is_started_by_it() {
    let mut model = scene("survey-blocked", SIZE, Theme::default());
    assert_eq!(update(&mut model, ch('v')), []);
    feed(&mut model, [ch('m')]);
    assert!(text(&draw(&model, SIZE)).contains("etcd on disk"), "{}", text(&draw(&model, SIZE)));
    assert_eq!(update(&mut model, ch('b')), []);
    assert_eq!(model.phase(), Phase::Survey);
    feed(&mut model, [ch('v')]);
    assert_eq!(update(&mut model, ch('q')), [Effect::Quit], "nothing runs, nothing is asked");
}

#[test]
fn where_skipping_is_not_safe_it_is_not_offered() {
    let mut model = scene("failed", SIZE, Theme::default());
    assert!(!text(&draw(&model, SIZE)).contains("skip it"));
    assert_eq!(update(&mut model, ch('i')), []);
}

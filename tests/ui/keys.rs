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
    let name = match (context, action) {
        (Context::Connecting, _) => "connecting-failed",
        (Context::Survey, Action::Start) => "survey-warnings",
        (Context::Survey, _) => "survey-blocked",
        (Context::Wizard, Action::Answer | Action::Refuse) => "wizard-aside",
        (Context::Wizard, Action::Along) => "wizard-log",
        (Context::Wizard, _) => "wizard-commands",
        (Context::Failed, _) => "failed",
        (Context::Finished, Action::Look | Action::Quit | Action::Help) => "finished",
        (Context::Finished, _) => "finished-stopped",
        (Context::Confirm, _) => "confirm-disruptive",
        (Context::ConfirmTyped, _) => "confirm-irreversible",
        (Context::Undo, _) => "failed-undo",
        (Context::HostKey, _) => "connecting-host-key",
        (Context::Secret, _) => "connecting-secret",
        (Context::Quit, _) => "quit-running",
        (Context::QuitHard, _) => "quit-stopping",
        (Context::Help, _) => "help",
    };
    let mut model = scene(name, SIZE, Theme::default());
    let m = &mut model;
    match action {
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
        (Action::No, Context::Secret) => vec![Effect::Secret { id: 2, secret: None }],
        (Action::Retry, _) => vec![Effect::Choose(Choice::Retry)],
        (Action::Stop, _) => vec![Effect::Choose(Choice::Stop)],
        (Action::Start, _) => vec![Effect::Start],
        (Action::LookAgain, _) => vec![Effect::LookAgain],
        (Action::Submit, Context::QuitHard)
        | (Action::Quit, Context::Connecting | Context::Survey | Context::Finished) => vec![Effect::Quit],
        (Action::Quit, Context::HostKey) => vec![Effect::AcceptHostKey { id: 1, yes: false }, Effect::Quit],
        (Action::Quit, Context::Secret) => vec![Effect::Secret { id: 2, secret: None }, Effect::Quit],
        _ => Vec::new(),
    }
}

#[test]
fn every_key_of_the_table_does_something_in_every_context_it_holds_in() {
    for binding in TABLE {
        for &context in binding.contexts {
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
    for binding in TABLE.iter().filter(|b| b.contexts.contains(&Context::Wizard)) {
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

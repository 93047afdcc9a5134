//! Keys while 50,000 lines a second come in: from the key to the frame that shows it. Goal: under 16 ms for 99 of 100.
//!
//! The loop is the wizard's: the same channel, the same order, the same pace.

#[path = "../tests/ui/fixtures.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fixtures;

use std::{
    io::Sink,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use banister::{
    ui::{Model, Msg, Pace, Theme, update, view},
    watch::{LogLine, LogMsg},
};
use criterion::{Criterion, criterion_group, criterion_main};
use crossterm::event::KeyCode;
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use tokio::sync::mpsc;

const SIZE: (u16, u16) = (200, 60);

/// Lines a second.
const RATE: usize = 50_000;

/// Batches a second: each holds what a host sent since the one before.
const BATCHES: usize = 500;

/// Between two keys: faster than a held key repeats.
const KEYS_EVERY: Duration = Duration::from_millis(20);

/// Batches that may wait, as in the program.
const WAITING: usize = 16;

type Sunk = Terminal<CrosstermBackend<Sink>>;

/// Sends lines until nobody listens; says how many it could.
async fn pour(to: mpsc::Sender<LogMsg>, sent: Arc<Mutex<usize>>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(BATCHES).unwrap_or(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for batch in 0.. {
        tick.tick().await;
        let lines = (0..RATE / BATCHES).map(|i| LogLine {
            at: i64::try_from(batch * 2000 + i).unwrap_or(0),
            text: format!("etcd[811]: read-only range request \"key:\\\"/registry/health\\\"\" took too long (112.4ms) to execute, line {i} of {batch}").into(),
        });
        let lines = lines.collect();
        if to.send(LogMsg::Lines(batch % 8, lines)).await.is_err() {
            return;
        }
        if let Ok(mut sent) = sent.lock() {
            *sent += RATE / BATCHES;
        }
    }
}

/// Presses so many keys and gives the time each waited for its frame.
async fn press(
    count: usize,
    model: &mut Model,
    terminal: &mut Sunk,
    lines: &mut mpsc::Receiver<LogMsg>,
) -> Vec<Duration> {
    let began = Instant::now();
    let (to, mut keys) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(KEYS_EVERY);
        for i in 0..count {
            tick.tick().await;
            // Through the panels and back, and up and down in each.
            let key = [KeyCode::Up, KeyCode::PageUp, KeyCode::Tab, KeyCode::Down, KeyCode::Char('h')][i % 5];
            if to.send((key, Instant::now())).is_err() {
                return;
            }
        }
    });
    let mut waits = Vec::with_capacity(count);
    let mut pace = Pace::new(began.elapsed());
    while waits.len() < count {
        let mut pressed = None;
        let draw = tokio::select! {
            biased;
            Some((key, at)) = keys.recv() => {
                pressed = Some(at);
                update(model, fixtures::key(key));
                pace.changed(true, began.elapsed())
            }
            () = due(pace.due(), began) => true,
            Some(lines) = lines.recv() => {
                update(model, Msg::Journal(lines));
                pace.changed(false, began.elapsed())
            }
        };
        if draw {
            let _ = terminal.draw(|frame| view(model, frame));
            pace.drew(began.elapsed());
            waits.extend(pressed.map(|at| at.elapsed()));
        }
    }
    waits
}

async fn due(at: Option<Duration>, began: Instant) {
    match at {
        Some(at) => tokio::time::sleep_until((began + at).into()).await,
        None => std::future::pending().await,
    }
}

fn flood(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        panic!("no runtime: the bench can't run");
    };
    let viewport = Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1));
    let options = TerminalOptions { viewport };
    let Ok(mut terminal) = Terminal::with_options(CrosstermBackend::new(std::io::sink()), options) else {
        panic!("no terminal to draw into");
    };
    let mut model = fixtures::scene("live-journal", SIZE, Theme::default());
    let (to, mut lines) = mpsc::channel(WAITING);
    let sent = Arc::new(Mutex::new(0));
    runtime.spawn(pour(to, sent.clone()));
    let began = Instant::now();
    let mut all: Vec<Duration> = Vec::new();
    let mut group = c.benchmark_group("key to frame");
    group.sample_size(10).measurement_time(Duration::from_secs(15));
    group.bench_function("50,000 lines a second", |b| {
        b.iter_custom(|iterations| {
            let count = usize::try_from(iterations).unwrap_or(1);
            let waits = runtime.block_on(press(count, &mut model, &mut terminal, &mut lines));
            all.extend(&waits);
            waits.iter().sum()
        });
    });
    group.finish();
    all.sort();
    let at = |percent: usize| all.get(all.len() * percent / 100).copied().unwrap_or_default();
    let rate = sent.lock().map_or(0, |n| *n) as u128 * 1000 / began.elapsed().as_millis().max(1);
    println!(
        "{} keys: median {:?}, 99 of 100 under {:?}, worst {:?}; {rate} lines a second came in",
        all.len(),
        at(50),
        at(99),
        all.last().copied().unwrap_or_default()
    );
}

criterion_group!(benches, flood);
criterion_main!(benches);

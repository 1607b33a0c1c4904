//! What people see of the story.

use std::fmt::Display;
use std::time::Instant;

/// Prints each step with what came back, and counts them.
#[derive(Debug)]
pub(super) struct Teller {
    began: Instant,
    steps: usize,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), steps: 0 }
    }

    /// A part of the story begins.
    pub(super) fn chapter(&self, title: &str) {
        println!("\n{title}");
    }

    /// A step held, and this came back.
    pub(super) fn step(&mut self, what: &str, came_back: impl Display) {
        self.steps += 1;
        println!("  ✓ {what}: {came_back}");
    }

    /// More of what came back.
    pub(super) fn detail(&self, text: impl Display) {
        println!("      {text}");
    }

    /// Every step has held.
    pub(super) fn end(&self) {
        println!("\nAll {} steps held, in {:.1} s.", self.steps, self.began.elapsed().as_secs_f64());
    }
}

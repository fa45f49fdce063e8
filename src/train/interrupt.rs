//! Being asked to stop: a flag that signals raise and the training loop looks at between steps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// Raised by SIGINT, SIGTERM or SIGHUP; by SIGUSR1 when the time of a cluster's job is nearly up.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    time_is_up: Arc<AtomicBool>,
}

impl Interrupt {
    /// A flag that the process's signals raise from now on.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> io::Result<Self> {
        let flag = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag.stop))?;
        }
        signal_hook::flag::register(SIGUSR1, Arc::clone(&flag.time_is_up))?;
        Ok(flag)
    }

    /// Asks to stop, as a signal does.
    pub fn raise(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn is_raised(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.time_is_up()
    }

    /// Whether that was because time is nearly up.
    pub fn time_is_up(&self) -> bool {
        self.time_is_up.load(Ordering::Relaxed)
    }
}

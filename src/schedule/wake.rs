//! What a coordinator waits for: the end of a worker, a signal, or a moment; and a clock that stands still while stopped.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, pipe};

/// Signals that mean "stop".
const STOPS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Signals of this process, and the means to sleep until one comes.
#[derive(Debug)]
pub struct Wake {
    signals: Signals,
    bell: UnixStream,
}

/// What signals asked for since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// How often to stop: Ctrl-C, SIGTERM, SIGHUP.
    pub stops: usize,
    /// How many of them were Ctrl-C.
    pub interrupts: usize,
    /// Whether to pause: Ctrl-Z.
    pub pause: bool,
}

impl Wake {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        let (bell, ringer) = UnixStream::pair()?;
        for signal in STOPS.into_iter().chain([SIGCHLD, SIGTSTP, SIGCONT]) {
            pipe::register(signal, ringer.try_clone()?)?;
        }
        Ok(Self { signals: Signals::new(STOPS.into_iter().chain([SIGTSTP]))?, bell })
    }

    /// Sleeps until a signal comes (the end of a worker is one), at most for `longest`.
    pub fn sleep(&mut self, longest: Duration) {
        let mut rung = [0; 64];
        if self.bell.set_read_timeout(Some(longest.max(Duration::from_millis(1)))).is_err() || longest.is_zero() {
            return;
        }
        // A timeout and an interruption both mean: look again.
        let _ = self.bell.read(&mut rung);
    }

    /// What signals asked for since the last call.
    pub fn asked(&mut self) -> Asked {
        let mut asked = Asked::default();
        for signal in self.signals.pending() {
            if signal == SIGTSTP {
                asked.pause = true;
            } else {
                asked.stops += 1;
                asked.interrupts += usize::from(signal == SIGINT);
            }
        }
        asked
    }

    /// Stops this process, as Ctrl-Z does to any other; comes back when it is continued.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause_process(&self) -> io::Result<()> {
        emulate_default_handler(SIGTSTP)
    }
}

/// Time since a beginning, without the times when everything was paused.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    begun: Instant,
    paused: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self { begun: Instant::now(), paused: Duration::ZERO }
    }
}

impl Clock {
    /// Time worked since the beginning.
    pub fn now(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.paused)
    }

    /// Leaves out a pause.
    pub fn leave_out(&mut self, pause: Duration) {
        self.paused += pause;
    }
}

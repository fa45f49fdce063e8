//! Slurm's programs, one at a time and with an end: none of them may hold the coordinator up.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time that a program may take. Slurm's own programs try for that long to reach a busy controller.
const LONGEST: Duration = Duration::from_secs(100);

/// Time between two looks at a program that runs.
const LOOK: Duration = Duration::from_millis(10);

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It went well; its stdout.
    Well(String),
    /// It refused; its stderr, or how it ended.
    Ill(String),
    /// It had to be ended: whether it did its work is not known.
    Silence,
    /// There is no such program.
    Missing,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running(Receiver<Said>);

impl Running {
    /// Starts a program.
    pub fn start(program: &'static str, arguments: Vec<String>) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            // Nobody listens any more when the coordinator has ended.
            let _ = sender.send(call(program, &arguments));
        });
        Self(receiver)
    }

    /// What it said, once it has ended.
    pub fn said(&self) -> Option<Said> {
        match self.0.try_recv() {
            Ok(said) => Some(said),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Said::Silence),
        }
    }

    /// Waits for its end.
    pub fn wait(self) -> Said {
        self.0.recv().unwrap_or(Said::Silence)
    }
}

/// Runs a program to its end.
pub fn call(program: &str, arguments: &[String]) -> Said {
    // Its own process group: Ctrl-C is for the coordinator. Names of tasks are not to be shortened.
    let child = Command::new(program)
        .args(arguments)
        .env("SLURM_BITSTR_LEN", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    match child {
        Ok(child) => finish(program, child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Said::Missing,
        Err(error) => Said::Ill(format!("{program} cannot be started: {error}")),
    }
}

fn finish(program: &str, mut child: Child) -> Said {
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks ends the text.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let err = reader(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < LONGEST => thread::sleep(LOOK),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Said::Silence;
            }
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        return Said::Well(out);
    }
    let err = err.trim();
    Said::Ill(if err.is_empty() { format!("{program} ended with {status}") } else { err.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_says() {
        let shell = |text: &str| call("sh", &["-c".to_owned(), text.to_owned()]);
        assert_eq!(shell("echo yes"), Said::Well("yes\n".to_owned()));
        assert_eq!(shell("echo no >&2; exit 3"), Said::Ill("no".to_owned()));
        assert_eq!(shell("exit 3"), Said::Ill("sh ended with exit status: 3".to_owned()));
        assert_eq!(call("no-such-program-of-slurm", &[]), Said::Missing);
        assert_eq!(Running::start("true", Vec::new()).wait(), Said::Well(String::new()));
    }
}

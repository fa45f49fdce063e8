//! The page, as a browser asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::Lab;

/// A page that is being served.
pub struct Page {
    program: Child,
    /// Address and port.
    pub host: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Page {
    /// `ui` with these arguments.
    pub fn open(lab: &Lab, arguments: &[&str]) -> Self {
        Self::of(lab.command(&[&["ui", "--port", "0"], arguments].concat()))
    }

    /// A command that serves the page and prints its address.
    pub fn of(mut command: Command) -> Self {
        let mut program = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let host = address.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        assert!(host.starts_with("127.0.0.1:"), "{address}");
        Self { program, host }
    }

    /// Status, and head and body together.
    pub fn ask(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let length = body.len();
        write!(stream, "{request} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap(), text)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path}"), &format!("host: {}\r\n", self.host), "")
    }

    pub fn post(&self, path: &str, origin: &str, form: &str) -> u16 {
        let kind = "application/x-www-form-urlencoded";
        let headers = format!("host: {}\r\norigin: {origin}\r\ncontent-type: {kind}\r\n", self.host);
        self.ask(&format!("POST {path}"), &headers, form).0
    }
}

//! A real server whose own statistics say how long its commands take.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::requests::Request;

/// Requests that are sent before their replies are read, where nothing is timed.
const PIPELINE: usize = 64;

/// A connection to it.
pub struct Server {
    stream: BufReader<TcpStream>,
}

impl Server {
    pub fn connect(address: &str) -> Server {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Server { stream: BufReader::new(stream) }
    }

    /// Runs requests, many at once.
    pub fn run(&mut self, requests: impl Iterator<Item = Request>) {
        let mut waiting = 0;
        for request in requests {
            self.send(&request);
            waiting += 1;
            if waiting == PIPELINE {
                self.replies(std::mem::take(&mut waiting));
            }
        }
        self.replies(waiting);
    }

    /// Nanoseconds for a call by its own statistics, one request at a time.
    pub fn timed(&mut self, name: &str, requests: &[Request]) -> f64 {
        self.call(&["config", "resetstat"]);
        for request in requests {
            self.send(request);
            self.reply();
        }
        let statistics = self.call(&["info", "commandstats"]);
        let line = statistics.split("cmdstat_").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let line = line.expect("the command was called");
        let field = |name: &str| -> f64 {
            let field = line.split([',', '\r']).find_map(|field| field.strip_prefix(name)).expect("a field");
            field.parse().expect("a number")
        };
        field("usec=") * 1000.0 / field("calls=")
    }

    fn call(&mut self, words: &[&str]) -> String {
        self.send(&words.iter().map(|word| word.as_bytes().to_vec()).collect());
        self.reply()
    }

    fn send(&mut self, request: &Request) {
        let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
        for word in request {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes).expect("the server reads");
    }

    fn replies(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.reply()));
    }

    /// Reads one reply; the text of a bulk string, a status or a number.
    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            "*" => {
                (0..number().max(0)).for_each(|_| drop(self.reply()));
                String::new()
            }
            "$" if number() >= 0 => {
                let mut bytes = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut bytes).expect("the rest of it");
                String::from_utf8_lossy(&bytes).into_owned()
            }
            "-" => panic!("the server says {rest}"),
            _ => rest.to_owned(),
        }
    }
}

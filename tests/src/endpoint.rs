//! Addresses that somebody else would have: one that says yes to every HTTP request, as an S3 store that has what is asked for;
//! one that takes connections and never answers; one where nobody listens.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::operator::free_port;

fn listen() -> (TcpListener, String) {
    let listener =
        TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no free port: {error}"));
    let address = listener
        .local_addr()
        .unwrap_or_else(|error| panic!("no address: {error}"));
    (listener, address.to_string())
}

/// Says 200 to everything, until this process ends.
pub fn yes() -> String {
    let (listener, address) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&part[..n]),
        }
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// Takes every connection and never says a word, until this process ends.
pub fn silence() -> String {
    let (listener, address) = listen();
    thread::spawn(move || {
        let held: Vec<TcpStream> = listener.incoming().flatten().collect();
        drop(held);
    });
    address
}

/// Nobody listens there.
pub fn nobody() -> String {
    format!("127.0.0.1:{}", free_port())
}

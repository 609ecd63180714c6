//! The program: says where it listens, and stops when asked to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mock-deepseek"))
}

#[test]
fn it_says_where_it_listens_answers_and_stops_well_on_sigterm() {
    let mut child =
        program().args(["--name", "demo", "--scenario", "text"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /__mock/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""name":"demo""#), "{answer}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_lists_its_scenarios_and_refuses_unknown_ones() {
    let list = program().arg("--list").output().unwrap();
    assert!(String::from_utf8(list.stdout).unwrap().contains("keep-alive-forever"));
    let wrong = program().args(["--scenario", "nope"]).output().unwrap();
    assert!(!wrong.status.success());
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("no preset `nope`"));
}

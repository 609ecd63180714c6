//! A client that sees bytes: requests over a plain socket, answers as they came.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a part of each test: what fails here fails the test, and each test file uses some of it"
)]

use std::{io, time::Duration};

use mock_deepseek::{Mock, Options};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const KEY: &str = "sk-test-0123";
pub const SOON: Duration = Duration::from_secs(10);

pub async fn start() -> Mock {
    Mock::start(Options::named("a")).await.unwrap()
}

/// A request for a chat, thinking off unless `fields` says otherwise.
pub fn chat(fields: Value) -> Value {
    let mut body = json!({
        "model": "deepseek-v4-pro", "messages": [{"role": "user", "content": "hello world"}],
        "thinking": {"type": "disabled"},
    });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    /// The body with the transfer coding taken off.
    pub body: Vec<u8>,
    /// The sizes of the HTTP chunks, if it was chunked.
    pub chunks: Vec<usize>,
    /// Whether the body ended as HTTP says.
    pub complete: bool,
    /// How the connection ended, if it did.
    pub end: Option<io::ErrorKind>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':').unwrap().1.trim())
    }

    /// The data of each frame, `[DONE]` left as text.
    pub fn data(&self) -> Vec<String> {
        self.text()
            .split("\n\n")
            .filter_map(|frame| frame.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }

    /// The chunks as JSON.
    pub fn events(&self) -> Vec<Value> {
        self.data()
            .iter()
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The content put together.
    pub fn content(&self) -> String {
        let pieces = self.events();
        pieces.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub async fn to(mock: &Mock) -> Self {
        Self::connect(mock.addr()).await
    }

    pub async fn connect(addr: std::net::SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap(), read: Vec::new() }
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nHost: mock\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text += "\r\n";
        self.stream.write_all(&[text.as_bytes(), body].concat()).await
    }

    pub async fn post(&mut self, path: &str, body: &Value, scenario: Option<&str>) -> Answer {
        let key = format!("Bearer {KEY}");
        let mut headers = vec![("Authorization", key.as_str()), ("Content-Type", "application/json")];
        headers.extend(scenario.map(|scenario| ("x-mock-scenario", scenario)));
        // A fault may hit while this is being written; what came back tells.
        let _cut = self.send("POST", path, &headers, body.to_string().as_bytes()).await;
        self.answer().await
    }

    /// Reads one answer, or as much as comes.
    pub async fn answer(&mut self) -> Answer {
        let mut end = None;
        loop {
            if let Some(answer) = parse(&self.read, end) {
                return answer;
            }
            end = self.more().await;
        }
    }

    /// Reads until the bytes so far satisfy a condition.
    pub async fn read_until(&mut self, done: impl Fn(&str) -> bool) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if done(&text) {
                return text;
            }
            let end = self.more().await;
            assert!(end.is_none(), "ended with {end:?} after {text:?}");
        }
    }

    async fn more(&mut self) -> Option<io::ErrorKind> {
        self.read.reserve(65536);
        match tokio::time::timeout(SOON, self.stream.read_buf(&mut self.read)).await {
            Ok(Ok(0)) => Some(io::ErrorKind::UnexpectedEof),
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.kind()),
            Err(_) => Some(io::ErrorKind::TimedOut),
        }
    }

    /// What is left to read, until the connection ends.
    pub async fn rest(&mut self) -> (Vec<u8>, io::ErrorKind) {
        loop {
            if let Some(end) = self.more().await {
                return (std::mem::take(&mut self.read), end);
            }
        }
    }

    /// Takes the answer read so far off, for the next on this connection.
    pub fn forget(&mut self) {
        self.read.clear();
    }
}

fn parse(read: &[u8], end: Option<io::ErrorKind>) -> Option<Answer> {
    let Some(split) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
        let body = read.to_vec();
        return end.map(|end| Answer {
            status: 0,
            head: String::new(),
            body,
            chunks: vec![],
            complete: false,
            end: Some(end),
        });
    };
    let head = String::from_utf8(read[..split].to_vec()).unwrap();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut answer = Answer { status, head, body: vec![], chunks: vec![], complete: false, end };
    let mut rest = &read[split + 4..];
    if answer.header("transfer-encoding") == Some("chunked") {
        while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            let Some(chunk) = rest.get(line + 2..line + 2 + size) else { break };
            answer.body.extend_from_slice(chunk);
            if size == 0 {
                answer.complete = true;
                break;
            }
            answer.chunks.push(size);
            rest = rest.get(line + 4 + size..).unwrap_or_default();
        }
    } else {
        let length: usize =
            answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        answer.body = rest[..rest.len().min(length)].to_vec();
        answer.complete = answer.body.len() == length;
    }
    (answer.complete || end.is_some()).then_some(answer)
}

pub async fn post(mock: &Mock, path: &str, body: &Value, scenario: Option<&str>) -> Answer {
    Client::to(mock).await.post(path, body, scenario).await
}

/// A chat, not streamed.
pub async fn ask(mock: &Mock, fields: Value, scenario: Option<&str>) -> Answer {
    post(mock, "/chat/completions", &chat(fields), scenario).await
}

/// A chat, streamed.
pub async fn stream(mock: &Mock, scenario: Option<&str>) -> Answer {
    ask(mock, json!({"stream": true}), scenario).await
}

/// The keys of JSON text in order, nested ones with their path.
pub fn keys(json: &str) -> Vec<String> {
    #[derive(Debug)]
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("JSON")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = vec![];
                    while let Some(key) = map.next_key::<String>()? {
                        let nested: Keys = map.next_value()?;
                        keys.push(key.clone());
                        keys.extend(nested.0.iter().map(|inner| format!("{key}.{inner}")));
                    }
                    Ok(Keys(keys))
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Keys, A::Error> {
                    let mut keys = vec![];
                    while let Some(item) = seq.next_element::<Keys>()? {
                        keys.extend(item.0);
                    }
                    Ok(Keys(keys))
                }
                fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
                fn visit_unit<E>(self) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
                fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
                fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
                fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
                fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
                    Ok(Keys(vec![]))
                }
            }
            deserializer.deserialize_any(Visitor)
        }
    }
    serde_json::from_str::<Keys>(json).unwrap().0
}

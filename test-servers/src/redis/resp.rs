use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::server::connect;

/// Sends one command and returns its answer as a flat list of strings: enough to see a server's
/// state without a client library, which is what the tests are about.
pub(crate) fn ask(port: u16, words: &[&str]) -> io::Result<Vec<String>> {
    let mut stream = connect(port)?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    read(&mut BufReader::new(stream), &mut answer)?;
    Ok(answer)
}

fn read(input: &mut BufReader<TcpStream>, answer: &mut Vec<String>) -> io::Result<()> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let length = || rest.parse::<i64>().map_err(io::Error::other);
    match kind {
        "+" | ":" => answer.push(rest.to_owned()),
        "$" => {
            // Missing (-1) counts as empty.
            let length = usize::try_from(length()?).ok();
            let mut bytes = vec![0; length.map_or(0, |length| length + 2)];
            input.read_exact(&mut bytes)?;
            bytes.truncate(length.unwrap_or(0));
            answer.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        "*" => {
            for _ in 0..length()? {
                read(input, answer)?;
            }
        }
        _ => return Err(io::Error::other(rest.to_owned())),
    }
    Ok(())
}

//! A plain HTTP proxy: forwards one request a connection, tunnels what asks for CONNECT.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use crate::{http::Request, log::Entry};

pub(crate) fn forward(request: &Request, entry: &Entry, mut client: &TcpStream) -> io::Result<()> {
    let tunnel = request.method == "CONNECT";
    let address = if tunnel { request.target.as_str() } else { request.target.trim_start_matches("http://") };
    let (host, path) = address.split_once('/').map_or((address, String::new()), |(host, rest)| (host, rest.to_owned()));
    let Ok(mut server) = TcpStream::connect(host) else {
        entry.answers(502);
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        let mut head = format!("{} /{path} HTTP/1.1\r\n", request.method);
        for (name, value) in
            request.headers.iter().filter(|(name, _)| !name.starts_with("proxy-") && name != "connection")
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("connection: close\r\n\r\n");
        server.write_all(head.as_bytes())?;
        server.write_all(&request.body)?;
    }
    entry.answers(200);
    let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || {
        // Either side may leave at any time.
        io::copy(&mut up, &mut down).ok();
        down.shutdown(Shutdown::Write).ok();
    });
    let copied = io::copy(&mut server, &mut &*client).unwrap_or(0);
    entry.sent(copied);
    client.shutdown(Shutdown::Both).ok();
    upwards.join().ok();
    Ok(())
}

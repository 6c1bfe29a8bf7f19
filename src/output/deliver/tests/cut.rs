//! Answers that break off, and endpoints that are away: what is not a whole answer is none.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::service::Service;
use super::{Answer, group, now};
use crate::output::deliver::Load;

/// Reads one request whose length is declared.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let declared = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let end = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            if request.len() >= end + declared.unwrap().trim().parse::<usize>().unwrap() {
                return;
            }
        }
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let id = "x-log-requestid: R\r\nconnection: close\r\n";
    let answers = [
        String::new(),
        "HTTP/1.1 200 O".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{id}"),
        format!("HTTP/1.1 200 OK\r\n{id}content-length: 10\r\n\r\nonly"),
        format!(
            "HTTP/1.1 500 Internal Server Error\r\n{id}content-length: 99\r\n\r\n{{\"errorCode\":\"Inter"
        ),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{id}content-length: 0\r\n\r\n"),
    ];
    let count = answers.len();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut served = 0;
        for answer in &answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            served += 1;
        }
        served
    });
    let letters = Service::start(|_| Answer::OK).await;
    let delivery = letters.delivery_to(&base);
    assert!(delivery.deliver(Load::Raw(group(1, now(), 0)), 1, None).await);
    assert_eq!((server.await.unwrap(), letters.letters().len()), (count, 0));
}

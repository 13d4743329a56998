//! Answers that are no stream: held until they are whole, where they are not too large for that.

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::http::ResponseHeader;

use super::{Cut, Ended, Next, Passage, Tap, is_encoded, next};
use crate::{
    clock,
    proxy::{downlink::Downlink, forward::Answer},
};

/// A whole answer up to this size is read before its head goes out, so that a provider which dies in
/// the middle of it can still be replaced.
const WHOLE: usize = 1 << 20;
/// What of a larger answer is kept to read its usage at the end.
const READABLE: usize = 16 << 20;

pub(super) async fn whole(
    line: &mut Downlink<'_>,
    mut answer: Answer,
    down: ResponseHeader,
    passage: &Passage,
    tap: &mut Tap<'_>,
) -> Ended {
    let length = content_length(&answer.head);
    let mut readable = !is_encoded(&answer.head.headers);
    let mut down = Some(down);
    // All of it until the head is sent; from then on what is needed to read its usage.
    let mut body = BytesMut::new();
    let ended = loop {
        let until = (clock::now() + passage.timeouts.idle).min(passage.deadline);
        match next(line, &mut answer, until).await {
            Ok(Next::Chunk(chunk)) => {
                if readable || down.is_some() {
                    body.extend_from_slice(&chunk);
                }
                let sent = if body.len() <= WHOLE && down.is_some() {
                    Ok(())
                } else if let Some(mut down) = down.take() {
                    tap.content_is_sent();
                    keep_length(&mut down, length);
                    match line.head(down).await {
                        Ok(()) => line.answer(Bytes::copy_from_slice(&body)).await,
                        lost @ Err(_) => lost,
                    }
                } else {
                    line.answer(chunk).await
                };
                if let Err(lost) = sent {
                    break Ended::Lost(lost);
                }
                if body.len() > READABLE {
                    readable = false;
                    body = BytesMut::new();
                }
            }
            Ok(Next::End) => break Ended::Complete,
            Ok(Next::Broken) => break cut(down.is_some(), Cut::Broken),
            Ok(Next::Timer) if clock::now() >= passage.deadline => break cut(down.is_some(), Cut::Overdue),
            Ok(Next::Timer) => break cut(down.is_some(), Cut::Idle),
            Err(lost) => break Ended::Lost(lost),
        }
    };
    if !matches!(ended, Ended::Complete) || !answer.sent {
        answer.connection.close().await;
    } else {
        answer.connection.release().await;
    }
    if !matches!(ended, Ended::Complete) {
        return ended;
    }
    if readable {
        let whole = tap.reading.read_whole(passage.operation, &body, clock::now());
        if passage.replaceable && down.is_some() {
            if let Some(fault) = tap.reading.fault_before_content() {
                return Ended::Unseen(Cut::Reported(fault));
            }
            if !whole {
                return Ended::Unseen(Cut::Truncated);
            }
        }
    }
    let Some(mut down) = down else { return Ended::Complete };
    keep_length(&mut down, Some(body.len()));
    if let Err(lost) = line.head(down).await {
        return Ended::Lost(lost);
    }
    match line.answer(body.freeze()).await {
        Ok(()) => Ended::Complete,
        Err(lost) => Ended::Lost(lost),
    }
}

fn cut(unseen: bool, cut: Cut) -> Ended {
    if unseen { Ended::Unseen(cut) } else { Ended::Interrupted(cut) }
}

fn content_length(head: &ResponseHeader) -> Option<usize> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn keep_length(down: &mut ResponseHeader, length: Option<usize>) {
    if let Some(length) = length {
        let _ = down.insert_header(header::CONTENT_LENGTH, length);
    }
}

//! A whole answer that has to be translated: held until all of it is there, because its first byte
//! may depend on its last.

use bytes::BytesMut;
use http::header;
use pingora::http::ResponseHeader;

use super::{Cut, Ended, Next, Passage, Tap, is_encoded, next};
use crate::{
    clock,
    proxy::{downlink::Downlink, forward::Answer, translation::Words},
};

/// A longer answer is not read: a model that fills its whole context with text stays below a quarter
/// of it.
const LONGEST: usize = 16 << 20;

pub(super) async fn worded(
    line: &mut Downlink<'_>,
    mut answer: Answer,
    mut down: ResponseHeader,
    words: &Words,
    passage: &Passage,
    tap: &mut Tap<'_>,
) -> Ended {
    let mut body = BytesMut::new();
    let ended = loop {
        let until = (clock::now() + passage.timeouts.idle).min(passage.deadline);
        match next(line, &mut answer, until).await {
            Ok(Next::Chunk(chunk)) if body.len() + chunk.len() <= LONGEST => body.extend_from_slice(&chunk),
            Ok(Next::Chunk(_) | Next::Broken) => break Err(Ended::Unseen(Cut::Broken)),
            Ok(Next::End) => break Ok(()),
            Ok(Next::Timer) if clock::now() >= passage.deadline => break Err(Ended::Unseen(Cut::Overdue)),
            Ok(Next::Timer) => break Err(Ended::Unseen(Cut::Idle)),
            Err(lost) => break Err(Ended::Lost(lost)),
        }
    };
    if ended.is_ok() && answer.sent {
        answer.connection.release().await;
    } else {
        answer.connection.close().await;
    }
    if let Err(ended) = ended {
        return ended;
    }
    if is_encoded(&answer.head.headers) {
        return Ended::Unseen(Cut::Truncated);
    }
    let now = clock::now();
    let Some(body) = words.answer(&body, &mut |signal| tap.reading.see(&signal, now)) else {
        let fault = tap.reading.fault_before_content();
        return Ended::Unseen(fault.map_or(Cut::Truncated, Cut::Reported));
    };
    tap.content_is_sent();
    let _ = down.insert_header(header::CONTENT_LENGTH, body.len());
    if let Err(lost) = line.head(down).await {
        return Ended::Lost(lost);
    }
    match line.answer(body).await {
        Ok(()) => Ended::Complete,
        Err(lost) => Ended::Lost(lost),
    }
}

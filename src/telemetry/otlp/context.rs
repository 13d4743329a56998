//! W3C trace context: which trace a request belongs to, read from a client and written for a provider.
//!
//! Source: <https://www.w3.org/TR/trace-context/>. A header that is malformed is as good as none, as it
//! says there: a client's mistake never costs it its answer.

use std::fmt;

/// What is passed on of a client's `tracestate`: W3C asks for 512 bytes at least.
const STATE: usize = 512;

/// A trace; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceId(pub(super) [u8; 16]);

/// A span; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanId(pub(super) [u8; 8]);

impl TraceId {
    /// A fresh one.
    #[must_use]
    pub fn mint() -> Self {
        // One bit is set, so that it is never zero.
        Self((fastrand::u128(..) | 1).to_be_bytes())
    }

    /// The same share of all traces, whoever asks: from the last 7 bytes, which W3C wants random.
    pub(super) fn falls_within(self, ratio: f64) -> bool {
        let [.., a, b, c, d] = self.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * 4_294_967_296.0
    }
}

impl SpanId {
    /// A fresh one.
    #[must_use]
    pub fn mint() -> Self {
        Self((fastrand::u64(..) | 1).to_be_bytes())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A span somewhere, as `traceparent` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whoever made it keeps it.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`; `None` where it is not one.
    #[must_use]
    pub fn read(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(55)?;
        let (version, trace) = (hex::<1>(&known[..2])?[0], hex::<16>(&known[3..35])?);
        let (span, flags) = (hex::<8>(&known[36..52])?, hex::<1>(&known[53..55])?[0]);
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        // Later versions may say more, behind a dash.
        let ends = more.is_empty() || (version > 0 && more[0] == b'-');
        let sound = dashes && ends && version != 0xff && trace != [0; 16] && span != [0; 8];
        sound.then_some(Self { trace: TraceId(trace), span: SpanId(span), sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// A client's `tracestate`, where it can be passed on as it came.
#[must_use]
pub fn read_state(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header).ok()?.trim();
    let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (plain && !text.is_empty() && text.len() <= STATE).then_some(text)
}

/// Lower case only, as the specification has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_sound_header_is_read_and_written_again() {
        let read = Context::read(GOOD.as_bytes()).unwrap();
        assert!(read.sampled);
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.span.to_string(), "00f067aa0ba902b7");
        assert_eq!(read.to_string(), GOOD);
        assert!(!Context::read(GOOD.replace("-01", "-00").as_bytes()).unwrap().sampled);
        let later = GOOD.replacen("00", "cc", 1) + "-what-the-future-brings";
        assert_eq!(Context::read(later.as_bytes()), Some(read));
    }

    #[test]
    fn what_is_malformed_is_none() {
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert_eq!(Context::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_state_is_passed_on_as_it_came_or_not_at_all() {
        assert_eq!(read_state(b" rojo=00f067aa0ba902b7,congo=t61 "), Some("rojo=00f067aa0ba902b7,congo=t61"));
        assert_eq!(read_state(b""), None);
        assert_eq!(read_state("k=\u{e9}".as_bytes()), None);
        assert_eq!(read_state(&[b'a'; STATE + 1]), None);
    }

    #[test]
    fn a_ratio_takes_its_share() {
        fastrand::seed(7);
        let taken = (0..10_000).filter(|_| TraceId::mint().falls_within(0.25)).count();
        assert!((2_300..2_700).contains(&taken), "{taken}");
        assert!((0..1_000).all(|_| TraceId::mint().falls_within(1.0)));
        assert!((0..1_000).all(|_| !TraceId::mint().falls_within(0.0)));
    }

    proptest! {
        #[test]
        fn no_header_makes_reading_panic(header in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(read) = Context::read(&header) {
                prop_assert_eq!(Context::read(read.to_string().as_bytes()), Some(read));
            }
            let _ = read_state(&header);
        }

        /// Near misses: one byte of a good one is another.
        #[test]
        fn no_near_miss_makes_reading_panic(at in 0_usize..55, byte: u8) {
            let mut header = GOOD.as_bytes().to_vec();
            header[at] = byte;
            if let Some(read) = Context::read(&header) {
                prop_assert_eq!(Context::read(read.to_string().as_bytes()), Some(read));
            }
        }
    }
}

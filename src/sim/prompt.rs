//! From parsed blocks to what a cache sees, and what every dialect's request comes down to.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    cache::{Chain, Position, Ttl},
    models::{CacheRule, Model, tokens},
    wants::Wants,
};

/// Bytes of one step of OpenAI's automatic caching (128 tokens) and of its smallest prefix.
const STEP_BYTES: usize = 512;
const MIN_STEP_BYTES: usize = 4_096;

/// A generating request, understood.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) model: &'static Model,
    /// The model as the request named it.
    pub(super) model_name: String,
    pub(super) stream: bool,
    /// Chat: whether the last chunk carries usage.
    pub(super) include_usage: bool,
    /// Whether `stream_options` is there at all.
    pub(super) has_stream_options: bool,
    /// The caller's cap on output tokens.
    pub(super) max_output: Option<u64>,
    pub(super) chain: Chain,
    pub(super) wants: Wants,
    /// What the answer is made from: a hash of the conversation, without account and markers.
    pub(super) topic: u64,
}

/// Hashes `parts` into one number, order and borders included.
pub(super) fn hash_of(parts: &[&str]) -> u64 {
    parts.iter().fold(0x77_61_72_6d, |hash, part| xxh3_64_with_seed(part.as_bytes(), hash))
}

/// A prompt as a list of blocks in the order of the cache.
#[derive(Default, Debug)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Block {
    /// Counts as tokens.
    Text { bytes: Vec<u8>, role: &'static str, mark: Option<Ttl> },
    /// Changes the hash of what follows without counting: a parameter that invalidates.
    Salt(Vec<u8>),
}

impl Blocks {
    pub(super) fn push(&mut self, role: &'static str, bytes: Vec<u8>, mark: Option<Ttl>) {
        self.blocks.push(Block::Text { bytes, role, mark });
    }

    pub(super) fn salt(&mut self, bytes: Vec<u8>) {
        self.blocks.push(Block::Salt(bytes));
    }

    /// Sets a breakpoint on the last block, when there is one.
    pub(super) fn mark_last(&mut self, ttl: Ttl) {
        let last = self.blocks.iter_mut().rev().find_map(|block| match block {
            Block::Text { mark, .. } => Some(mark),
            Block::Salt(_) => None,
        });
        if let Some(mark) = last {
            *mark = Some(ttl);
        }
    }

    /// The breakpoint on the last block, when there is one.
    pub(super) fn last_mark(&self) -> Option<Ttl> {
        self.blocks.iter().rev().find_map(|block| match block {
            Block::Text { mark, .. } => Some(*mark),
            Block::Salt(_) => None,
        })?
    }

    /// The breakpoints in order.
    pub(super) fn marks(&self) -> Vec<Ttl> {
        self.blocks
            .iter()
            .filter_map(|block| match block {
                Block::Text { mark, .. } => *mark,
                Block::Salt(_) => None,
            })
            .collect()
    }

    /// Keeps only the last `n` breakpoints.
    pub(super) fn keep_last_marks(&mut self, n: usize) {
        let mut left = n;
        for block in self.blocks.iter_mut().rev() {
            if let Block::Text { mark, .. } = block
                && mark.is_some()
            {
                if left == 0 {
                    *mark = None;
                } else {
                    left -= 1;
                }
            }
        }
    }

    /// A hash of the whole conversation, whoever sends it.
    pub(super) fn topic(&self) -> u64 {
        self.blocks.iter().fold(0, |hash, block| match block {
            Block::Text { bytes, .. } => xxh3_64_with_seed(bytes, hash),
            Block::Salt(_) => hash,
        })
    }

    /// What the cache `domain` sees of it.
    pub(super) fn chain(&self, rule: CacheRule, domain: u64, retention: Option<Ttl>) -> Chain {
        match rule {
            CacheRule::Marked { .. } | CacheRule::Written => self.block_chain(domain),
            CacheRule::Stepped => self.step_chain(domain, retention),
        }
    }

    fn block_chain(&self, domain: u64) -> Chain {
        let mut chain = Chain::default();
        let mut hash = domain;
        for block in &self.blocks {
            match block {
                Block::Salt(bytes) => hash = xxh3_64_with_seed(bytes, hash),
                Block::Text { bytes, role, mark } => {
                    hash = xxh3_64_with_seed(role.as_bytes(), hash);
                    hash = xxh3_64_with_seed(bytes, hash);
                    chain.total += tokens(bytes.len());
                    chain.positions.push(Position { hash, tokens: chain.total, mark: *mark });
                }
            }
        }
        chain
    }

    fn step_chain(&self, domain: u64, retention: Option<Ttl>) -> Chain {
        let mut all = Vec::new();
        for block in &self.blocks {
            if let Block::Text { bytes, .. } = block {
                all.extend_from_slice(bytes);
            }
        }
        let mut hash = domain;
        let mut positions = Vec::new();
        for (n, step) in all.chunks_exact(STEP_BYTES).enumerate() {
            hash = xxh3_64_with_seed(step, hash);
            let end = (n + 1) * STEP_BYTES;
            if end >= MIN_STEP_BYTES {
                positions.push(Position { hash, tokens: tokens(end), mark: retention });
            }
        }
        Chain { positions, total: tokens(all.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_at_1024_tokens_and_grow_by_128() {
        let mut blocks = Blocks::default();
        blocks.push("user", vec![b'x'; 4_095], None);
        assert!(blocks.chain(CacheRule::Stepped, 1, None).positions.is_empty());
        blocks.push("user", vec![b'y'; 1 + 512 + 511], None);
        let steps: Vec<u64> =
            blocks.chain(CacheRule::Stepped, 1, None).positions.iter().map(|p| p.tokens).collect();
        assert_eq!(steps, [1_024, 1_152]);
    }

    #[test]
    fn domains_share_nothing_and_roles_matter() {
        let mut blocks = Blocks::default();
        blocks.push("user", b"hello".to_vec(), None);
        let rule = CacheRule::Marked { min: 1 };
        assert_ne!(
            blocks.chain(rule, 1, None).positions[0].hash,
            blocks.chain(rule, 2, None).positions[0].hash
        );
        let mut other = Blocks::default();
        other.push("assistant", b"hello".to_vec(), None);
        assert_ne!(
            blocks.chain(rule, 1, None).positions[0].hash,
            other.chain(rule, 1, None).positions[0].hash
        );
    }

    #[test]
    fn a_salt_changes_only_what_follows_it() {
        let build = |salt: &[u8]| {
            let mut blocks = Blocks::default();
            blocks.push("system", b"one".to_vec(), None);
            blocks.salt(salt.to_vec());
            blocks.push("user", b"two".to_vec(), None);
            blocks.chain(CacheRule::Marked { min: 1 }, 1, None)
        };
        let (a, b) = (build(b"x"), build(b"y"));
        assert_eq!(a.positions[0], b.positions[0]);
        assert_ne!(a.positions[1], b.positions[1]);
        assert_eq!(a.total, b.total);
    }
}

//! Every fault, word for word: an operator reads nothing else of us at three in the morning.

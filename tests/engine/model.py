"""Writes a language model that has learnt nothing: `model.py FILE`.

Two layers of random weights over a vocabulary of single bytes; a quarter of a megabyte, the same on every
machine. It says gibberish, but through all that a real model goes through: the engine's tokenizer, its chat
template, its sampler, its counts.
"""

import sys

import gguf
import numpy

LAYERS, WIDTH, HEADS, INNER, CONTEXT = 2, 64, 4, 128, 4096

# ChatML with tools, as Hermes models have it. A model of noise calls none, but it is shown them, and the calls
# and results of the past: how many tokens the engine counts then tells whether it understood the same.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
Call as <tool_call>{"name": NAME, "arguments": {...}}</tool_call>.<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.tool_calls %}<|im_start|>assistant
{{ message.content or "" }}
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def vocabulary():
    """Three control tokens, then every byte; text that no token fits falls back to its bytes."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(256)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
    # So that what it says is text: letters and the space, which SentencePiece writes as a low line of its own.
    letters = ["\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    tokens += [letter.encode() for letter in letters]
    kinds += [gguf.TokenType.NORMAL] * len(letters)
    return tokens, kinds, [-float(place) for place in range(len(tokens))]


def write(path):
    random = numpy.random.default_rng(7)
    tokens, kinds, scores = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("noise")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def matrix(name, rows, columns):
        writer.add_tensor(name, (random.standard_normal((rows, columns)) / columns**0.5).astype(numpy.float32))

    def norm(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    matrix("token_embd.weight", len(tokens), WIDTH)
    norm("output_norm.weight")
    output = random.standard_normal((len(tokens), WIDTH)).astype(numpy.float32)
    # Bytes and control tokens are all but never said: gibberish, but of letters.
    output[:259] *= 0.01
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm.weight")
        for name in ("q", "k", "v", "output"):
            matrix(f"blk.{layer}.attn_{name}.weight", WIDTH, WIDTH)
        norm(f"blk.{layer}.ffn_norm.weight")
        matrix(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        matrix(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        matrix(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])

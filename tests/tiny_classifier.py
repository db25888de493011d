"""Makes a tiny sequence classifier on disk, randomly initialised, with a byte tokenizer: for tests of reward models.

Needs torch and transformers, which the environment of ``.ci/vllm`` has.
"""

from __future__ import annotations

from pathlib import Path

CONTEXT = 256
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make(folder: Path, *, labels: int = 1, template: str | None = TEMPLATE, head: bool = True, seed: int = 0) -> str:
    """Write model and tokenizer; without ``head``, the model writes text and has no classification head."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|end|>", model_max_length=CONTEXT
    )
    fast.add_special_tokens({"additional_special_tokens": special[2:]})
    fast.chat_template = template
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary) + 8,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=1,
        num_labels=labels,
        dtype="float32",
    )
    model = (LlamaForSequenceClassification if head else LlamaForCausalLM)(config)
    if head:
        with torch.no_grad():
            model.score.weight.normal_(0, 1)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)

"""Tokens per second of generation: the server against transformers' own ``generate``.

``python -m benchmarks.generation [--precision int8] [--rounds 3]`` makes a BART of 53 M parameters
(512 wide, 6 + 6 layers, random weights), serves it, and asks for 48 new tokens from 256-token texts
with 1 and with 16 clients, and with 16 clients for 8 to 256 tokens. Between those rounds a process
of its own runs ``generate`` in bf16 on the same work: one text at a time, and static batches of 16,
which end with their longest answer. Ratios are of medians over rounds.
"""

import argparse
import contextlib
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_store.backends.cpu import compute_threads, cpu_flags
from tests.running import RunningServer, running

VOCABULARY, SOURCE_TOKENS, NEW_TOKENS, CLIENTS = 16_384, 256, 48, 16
MIXED = (8, 256)
WORKLOADS = ("one", "sixteen", "mixed")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    parser.add_argument("--generate", type=Path, metavar="FOLDER", help="(internal)")
    arguments = parser.parse_args()
    if arguments.generate:
        generate(arguments.generate)
        return
    with tempfile.TemporaryDirectory() as home:
        store = Path(home) / "store"
        folder = make_bart(Path(home) / "bart")
        options = [f"--store={store}", f"--precision={arguments.precision}"]
        options.append(f"--backend={arguments.backend}")
        if arguments.precision == "int8":
            publish_int8(folder, store)
        else:
            options.append(f"--model=bart={folder}")
        with running(Path(home) / "log", *options) as server, reference(folder) as ask:
            report = server.wait_ready(600)
            (model,) = report["models"]
            shown = (flag for flag in sorted(cpu_flags()) if flag.startswith(("amx", "avx512")))
            print(f"cpu: {', '.join(shown)}; {compute_threads()} threads")
            print(f"served by {model['backend']} {model['precision']}")
            for name in WORKLOADS if arguments.only is None else (arguments.only,):
                compare(name, server, ask, arguments.rounds)


def compare(name: str, server: RunningServer, ask: Any, rounds: int) -> None:
    """Alternate rounds of both on one workload, and print tokens per second and their ratio."""
    work = lengths(name)
    clients = 1 if name == "one" else CLIENTS
    load(server, work[:clients], clients)  # warm
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(sum(work) / load(server, work, clients))
        theirs.append(sum(work) / ask({"lengths": work, "rows": clients}))
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{name}: {mine:.0f} tokens/s ({1000 * clients / mine:.2f} ms per token and client), "
        f"generate bf16 {other:.0f} ({1000 * clients / other:.2f} ms): {mine / other:.2f} times; "
        f"rounds {[round(each) for each in ours]} and {[round(each) for each in theirs]}"
    )


def lengths(name: str) -> list[int]:
    """New tokens of each request of a workload."""
    if name == "mixed":
        return [random.Random(7).randint(*MIXED) for _ in range(3 * CLIENTS)]
    return [NEW_TOKENS] * (4 if name == "one" else 2 * CLIENTS)


def text(number: int) -> str:
    """256 tokens with the two special ones."""
    chosen = random.Random(number)
    return " ".join(f"w{chosen.randrange(10, VOCABULARY)}" for _ in range(SOURCE_TOKENS - 2))


def load(server: RunningServer, work: list[int], clients: int) -> float:
    """A closed loop of clients over the work; seconds until all is answered."""
    left = iter(list(enumerate(work)))
    taking = threading.Lock()
    failed: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        while True:
            with taking:
                job = next(left, None)
            if job is None:
                return
            number, tokens = job
            given = {"max_new_tokens": tokens, "min_new_tokens": tokens, "num_beams": 1}
            body = json.dumps({"inputs": text(number), "parameters": given | {"details": True}})
            headers = {"content-type": "application/json", "x-request-timeout-ms": "600000"}
            connection.request("POST", "/models/bart", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                failed.append(content.decode())
            elif json.loads(content)[0]["details"]["generated_tokens"] != tokens:
                failed.append(f"not {tokens} tokens")

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if failed:
        raise SystemExit(failed[0])
    return time.perf_counter() - began


def make_bart(folder: Path) -> Path:
    """The checkpoint, with a tokenizer that knows as many words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=VOCABULARY,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_position_embeddings=1024,
        forced_eos_token_id=None,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    words |= {f"w{index}": index for index in range(4, VOCABULARY)}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return folder


@contextlib.contextmanager
def reference(folder: Path) -> Iterator[Any]:
    """``generate`` in a child: call it with work, get the seconds."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generation", "--generate", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin
    assert child.stdout
    into, out = child.stdin, child.stdout

    def ask(work: dict[str, Any]) -> float:
        into.write(json.dumps(work) + "\n")
        into.flush()
        return float(out.readline())

    out.readline()
    try:
        yield ask
    finally:
        into.close()
        child.wait()


def generate(folder: Path) -> None:
    """The child: static batches in bf16; one line of seconds per line of work."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    torch.set_num_threads(compute_threads())
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def run(rows: list[int], first: int) -> None:
        texts = [text(first + number) for number in range(len(rows))]
        inputs = tokenizer(texts, return_tensors="pt", padding=True)
        with torch.inference_mode():
            model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=max(rows),
                min_new_tokens=max(rows),
                do_sample=False,
                num_beams=1,
            )

    run([4], 0)
    print("ready", flush=True)
    for line in sys.stdin:
        work = json.loads(line)
        began = time.perf_counter()
        for start in range(0, len(work["lengths"]), work["rows"]):
            run(work["lengths"][start : start + work["rows"]], start)
        print(time.perf_counter() - began, flush=True)


def publish_int8(folder: Path, store: Path) -> None:
    """A version with the int8 artifact; with random weights there is no score to verify it by."""
    from tests.seq2seq_models import publish_with_int8

    publish_with_int8(folder, Path(store), "bart")


if __name__ == "__main__":
    main()

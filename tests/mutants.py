"""Named breakages, each of which must fail a test: ``make mutants``.

Every breakage is one replacement in one file of a copy of the tree. The tests named with it run on
the copy; a breakage that they let pass is a hole in the tests, and ends the command with an error.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("contracts", "model_store", "handlers", "server", "train", "cli", "tests")


@dataclass(frozen=True)
class Mutant:
    """One breakage: ``before`` stands exactly once in ``file`` and becomes ``after``."""

    name: str
    file: str
    before: str
    after: str
    tests: str


MUTANTS = (
    Mutant(
        "padding is not masked",
        "handlers/pipeline.py",
        "attention_mask[index, : len(row)] = 1",
        "attention_mask[index, :] = 1",
        "tests/handlers/test_pipeline.py",
    ),
    Mutant(
        "token types are forgotten",
        "handlers/pipeline.py",
        "token_type_ids[index, : len(row)] = row.token_type_ids",
        "pass",
        "tests/handlers/test_pipeline.py",
    ),
    Mutant(
        "answers of a batch are shifted by one",
        "handlers/pipeline.py",
        "outputs[index] = output",
        "outputs[index - 1] = output",
        "tests/handlers/test_pipeline.py",
    ),
    Mutant(
        "rows of different padded length share a batch",
        "handlers/batching.py",
        "self._groups.setdefault((key, padded_tokens), [])",
        "self._groups.setdefault((key, 512), [])",
        "tests/handlers/test_batching.py",
    ),
    Mutant(
        "a batch passes its token budget",
        "handlers/batching.py",
        "max(1, self._budget(key) // padded)",
        "max(1, self._budget(key) // padded + 1)",
        "tests/handlers/test_batching.py",
    ),
    Mutant(
        "the latest deadline goes first",
        "handlers/batching.py",
        "name = min(self._groups",
        "name = max(self._groups",
        "tests/handlers/test_batching.py",
    ),
    Mutant(
        "softmax for sigmoid",
        "handlers/classification.py",
        'or labels == 1:\n        return "sigmoid"',
        'or labels == 1:\n        return "softmax"',
        "tests/handlers/test_classification.py",
    ),
    Mutant(
        "a long text's label is its first window's",
        "handlers/classification.py",
        "rows.mean(axis=0)",
        "rows[0]",
        "tests/handlers/test_classification.py",
    ),
    Mutant(
        "an entity's offsets are off by one",
        "handlers/spans.py",
        "firsts = starts[groups]",
        "firsts = np.minimum(starts[groups] + 1, len(scores) - 1)",
        "tests/handlers/test_ner.py",
    ),
    Mutant(
        "an entity's score is its best token's",
        "handlers/spans.py",
        "means = np.add.reduceat(best.astype(np.float64), groups) / sizes",
        "means = np.maximum.reduceat(best.astype(np.float64), groups)",
        "tests/handlers/test_ner.py",
    ),
    Mutant(
        "the worst answer comes first",
        "handlers/question_answering.py",
        'answers.sort(key=lambda answer: -answer["score"])',
        'answers.sort(key=lambda answer: answer["score"])',
        "tests/handlers/test_question_answering.py",
    ),
    Mutant(
        "a summary stands in order of score",
        "handlers/selection.py",
        "return sorted(chosen) or ranking[:1]",
        "return chosen or ranking[:1]",
        "tests/handlers/test_summarization.py",
    ),
    Mutant(
        "padding has a part in an embedding",
        "model_store/task_graph.py",
        "mask = attention_mask.unsqueeze(-1).to(hidden.dtype)",
        "mask = attention_mask.unsqueeze(-1).to(hidden.dtype) * 0 + 1",
        "tests/model_store/test_embedding.py",
    ),
    Mutant(
        "windows of a long text weigh alike",
        "handlers/embeddings.py",
        "axis=0, weights=weights)",
        "axis=0)",
        "tests/handlers/test_embeddings.py",
    ),
    Mutant(
        "an embedding is brought to length 1 before it is cut",
        "handlers/embeddings.py",
        "vector = self.reader.embedding(prepared.rows, outputs)[: parameters.dimensions]",
        "vector = normalized(self.reader.embedding(prepared.rows, outputs))"
        "[: parameters.dimensions]",
        "tests/handlers/test_embeddings.py",
    ),
    Mutant(
        "threads share the place of a mask",
        "model_store/task_graph.py",
        "self.call = threading.local()",
        "self.call = type('', (), {})()",
        "tests/model_store/test_task_graph.py",
    ),
    Mutant(
        "targets share the probability of all tokens among them",
        "handlers/fill_mask.py",
        "total = np.exp(logits).sum()",
        "total = np.exp(logits if row.targets is None else logits[list(row.targets)]).sum()",
        "tests/handlers/test_fill_mask.py",
    ),
    Mutant(
        "a label entails by the wrong class",
        "handlers/zero_shot.py",
        "self.contradiction = 0 if entailment else len(manifest.labels) - 1",
        "self.contradiction = 1",
        "tests/handlers/test_zero_shot.py",
    ),
    Mutant(
        "a file's hash is not checked",
        "model_store/hashing.py",
        "if actual != sha256:",
        "if False:",
        "tests/model_store/test_store.py",
    ),
    Mutant(
        "a poison row fails its neighbours",
        "server/crew.py",
        "if len(places) > 1:",
        "if len(places) > 1000:",
        "tests/server/test_engine.py",
    ),
    Mutant(
        "a deadline is not checked",
        "server/intake.py",
        "time.monotonic() > job.work.deadline",
        "False",
        "tests/server/test_engine.py",
    ),
    Mutant(
        "a wrong key is let in",
        "server/auth.py",
        'raise Unauthorized("The API key is wrong.")',
        "return self.anyone",
        "tests/server/test_auth.py",
    ),
    Mutant(
        "a resumed run draws other random numbers",
        "train/snapshot.py",
        "torch.random.set_rng_state(torch.tensor(cpu, dtype=torch.uint8))",
        "pass",
        "tests/train/test_resume.py",
    ),
    Mutant(
        "a resumed epoch goes through the next one's rows",
        "train/trainer.py",
        'kwargs["epoch"] != self.position[0]',
        "True",
        "tests/train/test_resume.py",
    ),
    Mutant(
        "a process's share of a batch has no weight",
        "train/trainer.py",
        "loss = loss * self._weight(targets)",
        "pass",
        "tests/train/test_processes.py",
    ),
    Mutant(
        "the gate lets an answer change in a batch",
        "train/judge.py",
        "if company is not None and company.changed:",
        "if False:",
        "tests/train/test_verify.py",
    ),
    Mutant(
        "production moves to a worse version",
        "train/promote.py",
        "if score >= other - SLACK:",
        "if True:",
        "tests/train/test_promote.py",
    ),
    Mutant(
        "a layer in float keeps its smoothed weight",
        "model_store/mixed.py",
        "if weight is None or present.get(name) == weight:",
        "if True:",
        "tests/model_store/test_mixed.py",
    ),
    Mutant(
        "a beam goes on from the wrong row",
        "handlers/decoding/running.py",
        "kept += rows if parents is None else (rows.start + parents).tolist()",
        "kept += rows",
        "tests/handlers/decoding/test_parity.py",
    ),
    Mutant(
        "a seed draws what torch does not",
        "handlers/decoding/randomness.py",
        "-np.log1p(-uniform)",
        "-np.log(uniform + 1e-9)",
        "tests/handlers/decoding/test_randomness.py",
    ),
    Mutant(
        "what waits for the cache is passed by smaller ones",
        "handlers/decoding/scheduler.py",
        "            if others and reserved > self.max_kv_tokens:\n                break",
        "            if others and reserved > self.max_kv_tokens:\n"
        "                self._waiting.rotate(-1)\n                break",
        "tests/handlers/decoding/test_scheduler.py",
    ),
    Mutant(
        "a caller who left keeps his rows",
        "server/generation_engine.py",
        "            if gone:\n                scheduler.cancel(gone)",
        "            if gone:\n                pass",
        "tests/server/test_generation_engine.py",
    ),
    Mutant(
        "a failed step fails its neighbours",
        "server/generation_engine.py",
        "if one.alone or len(running) == 1:",
        "if True:",
        "tests/server/test_generation_engine.py",
    ),
    Mutant(
        "models that generate share the classifiers' engine",
        "server/lanes.py",
        "return cls.GENERATION if generates else cls.ENCODING",
        "return cls.ENCODING",
        "tests/server/test_lanes.py",
    ),
    Mutant(
        "both lanes have one waiting line",
        "server/admission.py",
        "Lane.GENERATION: Line(settings.max_generation_waiting",
        "Lane.GENERATION: Line(settings.max_waiting",
        "tests/server/test_admission.py tests/server/test_lanes.py",
    ),
    Mutant(
        "a stream does not notice that its caller left",
        "server/routes/events.py",
        "self._stream.done.cancel()",
        "pass",
        "tests/server/test_events.py",
    ),
    Mutant(
        "a client cuts the stream at a line break of the text",
        "server/routes/events.py",
        "content = content.replace(line_break, escaped)",
        "pass",
        "tests/server/test_events.py",
    ),
    Mutant(
        "a version that is refused takes the place of the old one",
        "server/shelf.py",
        "if loaded.pipeline is None]",
        "if False]",
        "tests/server/test_shelf.py",
    ),
    Mutant(
        "a model that leaves is freed at once",
        "server/shelf.py",
        "elif now - one.seen > LINGER_S:",
        "else:",
        "tests/server/test_shelf.py",
    ),
    Mutant(
        "strings of binary tensors have big-endian lengths",
        "server/protocols/open_inference.py",
        'struct.Struct("<I")',
        'struct.Struct(">I")',
        "tests/server/protocols/test_open_inference.py",
    ),
    Mutant(
        "a pair is taken for a batch",
        "server/protocols/text_embeddings.py",
        "isinstance(self.inputs[0], list)",
        "len(self.inputs) > 1",
        "tests/server/protocols/test_text_embeddings.py",
    ),
    Mutant(
        "what came before a crash is lost",
        "server/link.py",
        "        if not self._chunks:\n            return self.done.result()",
        "        if self.done.done():\n            return self.done.result()",
        "tests/server/test_events.py",
    ),
    Mutant(
        "rows of a bulk job take their turn like others",
        "server/engine.py",
        "(job.work.turn or job.work.deadline)",
        "job.work.deadline",
        "tests/server/test_engine.py",
    ),
    Mutant(
        "answers pass those that wait on disk",
        "server/outbox.py",
        "if fits and not self.on_disk:",
        "if fits:",
        "tests/server/test_outbox.py",
    ),
    Mutant(
        "a line that is too long takes its neighbour along",
        "server/ndjson.py",
        "self._begun.clear()\n        self._skipping = False",
        "self._begun.clear()",
        "tests/server/test_ndjson.py",
    ),
    Mutant(
        "a key opens every model",
        "server/auth.py",
        "if not self.may_use(model):",
        "if False:",
        "tests/server/test_auth.py",
    ),
    Mutant(
        "a sentence is scored at its first token",
        "handlers/summarization.py",
        '["logits"][place.start : place.end]',
        '["logits"][place.start : place.start + 1]',
        "tests/handlers/test_summarization.py",
    ),
    Mutant(
        "a sentence in two rows is read in the first",
        "handlers/sentence_rows.py",
        "            elif context > best[number][0]:",
        "            elif False:",
        "tests/handlers/test_sentence_rows.py",
    ),
    Mutant(
        "long sentences weigh more in training",
        "train/tasks/summary.py",
        "[there] / tokens[there]",
        "[there]",
        "tests/train/test_summary.py",
    ),
    Mutant(
        "a sentence is worth its mark alone",
        "train/tasks/summary.py",
        "((index in marked) + one) / 2",
        "float(index in marked)",
        "tests/train/test_summary.py",
    ),
    Mutant(
        "parts of a sentence are summed instead of averaged",
        "train/tasks/summary.py",
        "found.append(whole / (end - start))",
        "found.append(min(1.0, whole))",
        "tests/train/test_summary.py",
    ),
    Mutant(
        "the first caller in a closing port's queue is lost",
        "server/http_server.py",
        "for one in _emptied(port)",
        "for one in _emptied(port)[1:]",
        "tests/server/test_http_server.py",
    ),
    Mutant(
        "a closing port cuts who has said nothing yet",
        "server/http_server.py",
        "while self.server_state.connections and",
        "while False and",
        "tests/server/test_http_server.py",
    ),
    Mutant(
        "a refusal leaves the body unread",
        "server/lingering.py",
        'message["status"] >= 400',
        "False",
        "tests/server/test_lingering.py",
    ),
    Mutant(
        "a refusal waits for a body that was read",
        "server/lingering.py",
        "if starts and unread and",
        "if starts and",
        "tests/server/test_lingering.py",
    ),
)


def main() -> int:
    """Run all, print a line each; 1 when a breakage survived."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in MUTANTS:
            caught = run(mutant, copy)
            survived += not caught
            print(f"{'caught  ' if caught else 'SURVIVED'}  {mutant.name}", flush=True)
    print(f"{len(MUTANTS) - survived} of {len(MUTANTS)} breakages caught")
    return 1 if survived else 0


def run(mutant: Mutant, copy: Path) -> bool:
    """Whether the tests fail on the broken copy (and pass on the whole one, see ``make test``)."""
    path = copy / mutant.file
    whole = path.read_text()
    if whole.count(mutant.before) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.before!r} must stand once in {mutant.file}")
    path.write_text(whole.replace(mutant.before, mutant.after))
    try:
        command = [sys.executable, "-B", "-m", "pytest", "-x", *mutant.tests.split()]
        ended = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=600)
    finally:
        path.write_text(whole)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: pytest did not run:\n{ended.stdout[-2000:]}")
    return ended.returncode == 1


if __name__ == "__main__":
    sys.exit(main())

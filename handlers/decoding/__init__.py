"""From logits to tokens: greedy, sampling and beam search over a running batch.

The strategies are those of transformers' ``generate`` and give its tokens; they run on
numpy, for every backend and for requests that come and go between any two steps.
"""

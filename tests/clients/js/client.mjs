// Hugging Face's JavaScript client, unmodified: node client.mjs < asks.json
//
// Takes [{"method", "url", "key"?, "args"}], prints a list of {"answer"} or {"status", "message"}.
import { InferenceClient } from "@huggingface/inference";

const parts = [];
for await (const part of process.stdin) parts.push(part);

const outcomes = [];
for (const { method, url, key, args } of JSON.parse(Buffer.concat(parts).toString())) {
  const client = new InferenceClient(key);
  try {
    // Left to itself it sends a request that got a 503 again, at once and without end.
    const answer = await client[method]({ ...args, endpointUrl: url }, { retry_on_error: false });
    outcomes.push({ answer });
  } catch (error) {
    outcomes.push({ status: error.httpResponse?.status ?? null, message: error.message });
  }
}
console.log(JSON.stringify(outcomes));

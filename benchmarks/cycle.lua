-- Posts the lines of a file in turn, and prints what was measured as one line of JSON.
-- A line that begins with a path and a tab goes there; the others to the path of the URL.

local requests = {}
local turn = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, body = line:match("^(/[^\t]*)\t(.*)$")
    local headers = {["content-type"] = "application/json"}
    requests[#requests + 1] = wrk.format("POST", path, headers, body or line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f,'
      .. ' "max_ms": %.3f, "errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d,'
      .. ' "status": %d}}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end

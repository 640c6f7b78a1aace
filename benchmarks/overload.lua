-- Posts the lines of a file in turn; after a 429 a client waits as long as Retry-After says.
-- Arguments: the file, seconds that are not counted at the start, and "wait" or "insist".
--
-- Every request has a number of its own, by which its answer is told from the others: so the
-- accepted are timed apart from the refused.

local ffi = require("ffi")
ffi.cdef [[
  struct bench_time { long seconds; long nanoseconds; };
  int clock_gettime(int clock, struct bench_time *found);
]]

local MONOTONIC = 1
local found = ffi.new("struct bench_time")
local heads, tails = {}, {}
local turn, number, began = 0, 0, nil
local sent, pauses = {}, {}
local first_pause, last_pause = 1, 0
local waits
local threads = {}

statuses = {}
accepted_ms = {}
pause_s = 0
uncounted_s = 0

local function now()
  ffi.C.clock_gettime(MONOTONIC, found)
  return tonumber(found.seconds) + tonumber(found.nanoseconds) / 1e9
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  for line in io.lines(arguments[1]) do
    local headers = {["content-type"] = "application/json", ["x-request-id"] = "@NUMBER@"}
    local whole = wrk.format("POST", nil, headers, line)
    local from, to = whole:find("@NUMBER@", 1, true)
    heads[#heads + 1] = whole:sub(1, from - 1)
    tails[#tails + 1] = whole:sub(to + 1)
  end
  uncounted_s = tonumber(arguments[2])
  waits = arguments[3] == "wait"
end

function request()
  turn = turn % #heads + 1
  number = number + 1
  sent[number] = now()
  began = began or sent[number]
  return heads[turn] .. number .. tails[turn]
end

-- Called for a client that is about to send again. wrk does not say which one it is; pauses are
-- handed out in the order of the answers, so each is waited for once.
function delay()
  if first_pause > last_pause then
    return 0
  end
  local pause = pauses[first_pause]
  pauses[first_pause] = nil
  first_pause = first_pause + 1
  return pause
end

function response(status, headers, _)
  local ended, id = now(), tonumber(headers["x-request-id"])
  local pause = tonumber(headers["retry-after"] or 0)
  pause_s = math.max(pause_s, pause)
  last_pause = last_pause + 1
  pauses[last_pause] = waits and status == 429 and pause * 1000 or 0
  local start = id and sent[id]
  if not start then
    return
  end
  sent[id] = nil
  if ended - began < uncounted_s then
    return
  end
  local key = tostring(status)
  statuses[key] = (statuses[key] or 0) + 1
  if status == 200 then
    accepted_ms[#accepted_ms + 1] = (ended - start) * 1000
  end
end

function done(summary, _, _)
  local thread, errors = threads[1], summary.errors
  local counts, times = thread:get("statuses"), thread:get("accepted_ms")
  table.sort(times)
  local function percentile(share)
    return #times > 0 and times[math.max(1, math.ceil(share * #times))] or 0
  end
  local parts = {}
  for status, count in pairs(counts) do
    parts[#parts + 1] = string.format('"%s": %d', status, count)
  end
  print(string.format(
    'RESULT {"statuses": {%s}, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f,'
      .. ' "retry_after_s": %g, "lost": {"connect": %d, "read": %d, "write": %d, "timeout": %d}}',
    table.concat(parts, ", "), summary.duration / 1e6 - thread:get("uncounted_s"), percentile(0.5),
    percentile(0.99), percentile(1), thread:get("pause_s"), errors.connect, errors.read,
    errors.write, errors.timeout))
end

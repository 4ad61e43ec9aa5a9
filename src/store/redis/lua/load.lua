-- KEYS: the record, [its owner's index].
-- ARGV: the claim; the touch interval in milliseconds, or nothing for no touch; whether with the data.
local key, claim, interval = KEYS[1], ARGV[1], ARGV[2]
local record, answer = read(key, KEYS[2], ARGV[3] ~= '')
if not record then
  return answer
end
local standing = standing_of(record, claim)
if not standing then
  return false
end

-- Writes over a part of the record, from byte `at`. A server whose memory is full refuses that, and
-- the session lives on all the same.
local function patch(at, bytes)
  local answer = redis.pcall('SETRANGE', key, at - 1, bytes)
  if type(answer) ~= 'table' or not answer.err then
    local whole = record.bytes
    record.bytes = string.sub(whole, 1, at - 1) .. bytes .. string.sub(whole, at + #bytes)
  elseif not string.find(answer.err, 'OOM', 1, true) then
    return answer
  end
end

local now, idle = record.now, record.idle
local since = now - record.seen
if standing ~= 'reused' and interval ~= '' and idle > 0
  and since > 0 and since >= math.min(interval, idle / 10) then
  record.seen = now
  local ends = ending(now, idle, record.deadline)
  -- The expiry cannot move past the deadline, so the record itself tells of this touch.
  if ends == record.deadline then
    local failure = patch(50, struct.pack('>I8', now))
    if failure then
      return failure
    end
  end
  call('PEXPIREAT', key, ends - 1)
  if record.index then
    extend(record.index, ends)
  end
end
-- The first use of the current secret: the sealed one is erased. Its place stays until the record is
-- written anew, so that the data need not be.
if standing == 'current' and claim ~= '' and record.previous ~= NO_PROOF and record.confirmed == 0 then
  local between = string.sub(record.bytes, 132, record.sealed_at - 1)
  local zeros = string.rep('\0', record.data_at - record.sealed_at)
  local failure = patch(124, struct.pack('>I8', now) .. between .. zeros)
  if failure then
    return failure
  end
end
return hand_out(record)

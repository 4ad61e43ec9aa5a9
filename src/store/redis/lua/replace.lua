-- KEYS: the record, [its owner's index].
-- ARGV: the claim; the version that is expected, or nothing; absolute and idle timeout, or nothing;
-- the new proof, or nothing; the sealed secret of a handover; the details; the data; and which of
-- these there are: `t` for a touch, `a` if the person has just authenticated, `h` for a handover, `n`
-- for new details, `d` for new data.
--
-- Returns 0 for a conflict, or the version, the clock and when the record ends.
local key = KEYS[1]
local function has(part)
  return string.find(ARGV[8], part, 1, true)
end

local record, answer = read(key, KEYS[2], not has('d'))
if not record then
  return answer
end
local standing = standing_of(record, ARGV[1])
if standing ~= 'current' and standing ~= 'previous' then
  return false
end
local bytes = record.bytes
local version = string.sub(bytes, 2, 9)
-- Compared as bytes: Lua's numbers do not hold 64 bits.
if ARGV[2] ~= '' and version ~= ARGV[2] or has('h') and standing ~= 'current' then
  return 0
end
if not has('h') then
  version = struct.pack('>I8', struct.unpack('>I8', version) + 1)
end

local now, seen, deadline = record.now, record.seen, record.deadline
local absolute, idle = record.absolute, record.idle
local authenticated = string.sub(bytes, 18, 25)
if has('t') or has('a') or ARGV[3] ~= '' then
  seen = math.max(seen, now)
end
if ARGV[3] ~= '' then
  absolute, idle = struct.unpack('>I8I8', ARGV[3])
end
if has('a') then
  authenticated = struct.pack('>I8', seen)
end
if has('a') or ARGV[3] ~= '' then
  deadline = absolute > 0 and seen + absolute or 0
end
local ends = ending(seen, idle, deadline)

local proof, previous, confirmed = record.proof, record.previous, record.confirmed
local sealed = string.sub(bytes, record.sealed_at, record.data_at - 1)
if ARGV[4] ~= '' then
  local is_handed_over = has('h') and proof ~= NO_PROOF
  previous, sealed = is_handed_over and proof or NO_PROOF, is_handed_over and ARGV[5] or ''
  proof, confirmed = ARGV[4], 0
elseif confirmed > 0 then
  -- What the confirmation has left of it.
  sealed = ''
end
local owner = string.sub(bytes, record.owner_at, record.details_at - 1)
local details = has('n') and ARGV[6] or string.sub(bytes, record.details_at, record.sealed_at - 1)
write(key, {
  version, string.sub(bytes, 10, 17), authenticated,
  struct.pack('>I8I8I8I8', absolute, idle, deadline, seen),
  proof, previous, struct.pack('>I8BI2I2', confirmed, #owner, #details, #sealed),
  owner, details, sealed, has('d') and ARGV[7] or string.sub(bytes, record.data_at)
}, ends)
if record.index then
  extend(record.index, ends)
end
return version .. struct.pack('>I8I8', now, ends)

-- KEYS: the record, [its owner's index].
-- ARGV: the data; the version that is expected, or nothing; whether to touch; new absolute and idle
-- timeouts, or nothing.
local key = KEYS[1]
local record, now, seen, idle, deadline, index = read(key, KEYS[2])
if not record then
  return now
end
-- Compared as bytes: Lua's numbers do not hold 64 bits.
if ARGV[2] ~= '' and string.sub(record, 2, 9) ~= ARGV[2] then
  return 0
end

local lifetime = string.sub(record, 26, 41)
if ARGV[4] ~= '' then
  lifetime = ARGV[4]
  local absolute
  absolute, idle = struct.unpack('>I8I8', lifetime)
  seen = now
  deadline = absolute > 0 and now + absolute or 0
elseif ARGV[3] ~= '' then
  seen = math.max(seen, now)
end
local ends = ending(seen, idle, deadline)
local version = struct.unpack('>I8', record, 2) + 1
local owner, label = string.byte(record, 58, 59)
call('SET', key, table.concat({
  string.sub(record, 1, 1), struct.pack('>I8', version), string.sub(record, 10, 25), lifetime,
  struct.pack('>I8I8', deadline, seen),
  string.sub(record, 58, 59 + owner + label), ARGV[1]
}), 'PXAT', ends - 1)
if index then
  extend(index, ends)
end
return version
